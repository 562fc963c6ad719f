"""A network and data so small that a whole study takes seconds, and that can be held up from outside.

Given to the program as ``tests.support.tiny:network`` and so on, so this module imports nothing of ours.
"""

import time
from pathlib import Path

import torch
from torch import nn

HOLD = Path("hold")  # in the current directory: while it exists, training waits after its first epoch
MENDED = Path("mended")  # while it does not, the broken network is


def network(classes, input_shape):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, classes))


def flat_network(classes, input_shape):
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.AdaptiveAvgPool1d(classes))


def broken(classes, input_shape):
    if not MENDED.exists():
        raise RuntimeError("this network cannot be built")
    return network(classes, input_shape)


def _images(count, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    return torch.randn(count, 3, 2, 2, generator=generator) + labels[:, None, None, None], labels


def data():
    return _images(96, 0), _images(48, 1)


def pictures():
    """The same as 8-bit images, with some to hold back."""
    parts = [_images(*part) for part in ((96, 0), (30, 2), (48, 1))]
    return tuple(((40 * images + 80).clamp(0, 255).to(torch.uint8), labels) for images, labels in parts)


class _Held(nn.Module):
    """Passes its input on, but stays in the second step of training while ``HOLD`` exists."""

    def __init__(self):
        super().__init__()
        self.steps = 0

    def forward(self, inputs):
        if self.training and torch.is_grad_enabled():
            self.steps += 1
            while self.steps > 1 and HOLD.exists():
                time.sleep(0.02)
        return inputs


def held_network(classes, input_shape):
    return nn.Sequential(_Held(), *network(classes, input_shape))
