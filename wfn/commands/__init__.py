"""What a person types and reads: options, commands, summary."""
