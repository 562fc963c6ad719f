"""Residual networks for small images: ResNet-20/32/44/56 of He et al., "Deep residual learning", 2015, section 4.2.

Parameters have torchvision's names, which are also those of the ResNet-20 saves that the APoT authors released.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch-norm and what goes around them; torchvision's own would take seconds to import.

    Args:
        width_before: channels that enter.
        width: channels that leave.
        stride: of the first convolution.
        downsample: what gives the shortcut the shape of what it is added to; None where it has it.
    """

    def __init__(self, width_before: int, width: int, stride: int = 1, downsample: nn.Module | None = None):
        super().__init__()
        self.conv1 = nn.Conv2d(width_before, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width_before, height, width) -> (batch, width, height / stride, width / stride)."""
        residual = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        residual += x if self.downsample is None else self.downsample(x)
        return self.relu(residual)


class PaddedIdentity(nn.Module):
    """The shortcut without parameters (option A): every other pixel, and zeros for the channels that are new.

    The zeros are shared out before and behind the old channels; He et al. do not say where they go.
    """

    def __init__(self, new_channels: int, stride: int):
        super().__init__()
        self.before, self.behind = new_channels // 2, new_channels - new_channels // 2
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, channels + new_channels, height / stride, width / stride)."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.behind))


def cifar_resnet(
    blocks: int,
    shortcut: Literal["identity", "conv"],
    classes: int,
    channels: int = 3,
    widths: Sequence[int] = (16, 32, 64),
    dropout: float = 0.0,
) -> nn.Sequential:
    """Build a residual network of one stage a width; depth ``2 * blocks * len(widths) + 2``.

    Args:
        blocks: residual blocks a stage: 3, 5, 7 and 9 give ResNet-20, 32, 44 and 56.
        shortcut: where a stage changes the shape, ``"identity"`` (subsampled, padded with zero channels; as He et al.
            have it) or ``"conv"`` (1x1 convolution and batch-norm; as the APoT saves have it).
        classes: number of outputs.
        channels: of the input images.
        widths: channels of the stages; each stage but the first halves height and width.
        dropout: behind each stage a layer that drops values with this probability; none at 0.
    """
    stages, width_before = OrderedDict(), widths[0]
    for number, width in enumerate(widths, start=1):
        stages[f"layer{number}"] = _stage(blocks, width_before, width, 1 if number == 1 else 2, shortcut)
        if dropout:
            stages[f"layer{number}"].append(nn.Dropout(dropout))
        width_before = width
    network = nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, widths[0], 3, padding=1, bias=False),
            bn1=nn.BatchNorm2d(widths[0]),
            relu=nn.ReLU(inplace=True),
            **stages,
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            fc=nn.Linear(widths[-1], classes),
        )
    )
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def _stage(blocks: int, width_before: int, width: int, stride: int, shortcut: str) -> nn.Sequential:
    first = BasicBlock(width_before, width, stride, _shape_change(width_before, width, stride, shortcut))
    return nn.Sequential(first, *(BasicBlock(width, width) for _ in range(blocks - 1)))


def _shape_change(width_before: int, width: int, stride: int, shortcut: str) -> nn.Module | None:
    if stride == 1 and width == width_before:
        return None
    if shortcut == "identity":
        return PaddedIdentity(width - width_before, stride)
    return nn.Sequential(nn.Conv2d(width_before, width, 1, stride, bias=False), nn.BatchNorm2d(width))
