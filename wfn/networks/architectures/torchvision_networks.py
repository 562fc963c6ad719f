"""torchvision's networks: as they are, for 224 x 224 images, and its ResNets in the form for CIFAR's 32 x 32."""

from torch import nn


def torchvision_network(name: str, classes: int) -> nn.Module:
    """Build torchvision's network ``name`` with fresh weights.

    GoogLeNet comes without its auxiliary heads, and with the input transform that its ImageNet weights were made for:
    it expects images normalised as for the ResNets and undoes that itself.
    """
    import torchvision

    extra = {"aux_logits": False, "transform_input": True, "init_weights": True} if name == "googlenet" else {}
    return torchvision.models.get_model(name, weights=None, num_classes=classes, **extra)


def cifar_form(base: str, classes: int, channels: int = 3) -> nn.Module:
    """Build torchvision's ResNet ``base`` with a 3x3 stem of stride 1 and no max-pool; else as it is."""
    network = torchvision_network(base, classes)
    stem = nn.Conv2d(channels, network.get_parameter("conv1.weight").shape[0], 3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    network.conv1 = stem
    network.maxpool = nn.Identity()
    return network
