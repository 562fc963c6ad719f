"""A save as APoT's authors released those for ImageNet, of a network so small that measuring it takes no time.

Given to the program as ``tests.support.made_up_saves:network`` and ``made_up_saves:pictures``.
"""

import torch
from torch import nn

from tests.support import small_networks

QUANTISED = ("layer1.0.conv1", "layer1.0.conv2", "layer2.0.conv1", "layer2.0.conv2", "layer2.0.downsample.0")


def network():
    """As torchvision builds its ResNets: stem, a block that halves the image, head; the same weights each time."""
    from torchvision.models.resnet import BasicBlock, ResNet

    torch.manual_seed(3)
    model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=3)
    model.conv1 = nn.Conv2d(2, 64, 3, bias=False)
    model.layer3, model.layer4, model.fc = nn.Identity(), nn.Identity(), nn.Linear(128, 3)
    return model


def pictures():
    """Images that the network takes: (train, test)."""
    return small_networks.data()


def latent_state():
    """The tensors of a save: latent weights, and two clipping thresholds for each layer in between."""
    state = {f"module.{name}": value for name, value in network().state_dict().items()}
    for layer in QUANTISED:
        state[f"module.{layer}.weight_alpha"] = torch.tensor(1.0 + torch.rand(()).item())
        state[f"module.{layer}.act_alpha"] = torch.tensor(2.0 + torch.rand(()).item())
    return state


def write(path, change=lambda state: None, entry="model"):
    """Write a save to ``path``, its tensors changed by ``change``; return the path as text."""
    state = latent_state()
    change(state)
    torch.save({"epoch": 3, entry: state, "best_prec1": 70.0}, path)
    return str(path)


def fill(name, values):
    """A change to a save: the tensor ``name`` takes ``values`` by turns."""

    def change(state):
        tensor = state[f"module.{name}"]
        tensor.copy_(torch.tensor(values).repeat(tensor.numel() // len(values) + 1)[: tensor.numel()].view_as(tensor))

    return change


def write_ternary(path, change=lambda state: None):
    """Write a save as EC2T's authors have them: layers in between of three values, the last one under another name."""
    state = {name.replace("fc.", "linear."): value for name, value in network().state_dict().items()}
    for layer in QUANTISED:
        weight = state[f"{layer}.weight"]
        kept = weight.abs() > weight.abs().mean()
        state[f"{layer}.weight"] = kept * torch.where(weight > 0, 0.06, -0.05)
    change(state)
    torch.save(state, path)
    return str(path)
