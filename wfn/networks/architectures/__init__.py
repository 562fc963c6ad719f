"""Networks that have a name here: of CIFAR, of torchvision, of timm, and a small transformer."""
