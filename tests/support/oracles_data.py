"""Slow, literal versions of what wfn.data does a batch at a time."""

import torch
from torch import Tensor


def crop_and_flip(image: Tensor, padding: int, top: int, left: int, mirror: bool) -> Tensor:
    """Pad one (channels, height, width) image with zeros, cut the window at (top, left) out, mirror it or not."""
    channels, height, width = image.shape
    padded = torch.zeros(channels, height + 2 * padding, width + 2 * padding, dtype=image.dtype)
    padded[:, padding : padding + height, padding : padding + width] = image
    window = padded[:, top : top + height, left : left + width]
    return torch.flip(window, [2]) if mirror else window


def normalise(image: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Scale a uint8 image to [0, 1], then subtract the mean and divide by the deviation, channel by channel."""
    scaled = image.double() / 255
    return torch.stack([(plane - m) / s for plane, m, s in zip(scaled, mean, std, strict=True)])
