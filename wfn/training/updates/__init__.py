"""What a training step does with the gradients, a way a file."""
