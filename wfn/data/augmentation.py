"""Random crops, flips and cut-out squares of a whole batch at once, on the device where it lies."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class CropAndFlip:
    """Shift every image by a random number of pixels, and mirror it or not.

    Attributes:
        padding: the shift is uniform over -padding..padding in both directions; what comes in is zero.
        flip: mirror every image left to right with probability one half.
    """

    padding: int
    flip: bool

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return the augmented copy of ``images``, (batch, height, width, channels) of any dtype."""
        batch, height, width, _ = images.shape
        padded = F.pad(images, (0, 0, *[self.padding] * 4))
        device = images.device
        tops, lefts = torch.randint(2 * self.padding + 1, (2, batch, 1), generator=generator, device=device)
        rows = tops + torch.arange(height, device=device)
        columns = lefts + torch.arange(width, device=device)
        if self.flip:
            mirrored = torch.rand((batch, 1), generator=generator, device=device) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
        image = torch.arange(batch, device=device)
        return padded[image[:, None, None], rows[:, :, None], columns[:, None, :]]


def cut_out(images: Tensor, share: float) -> Tensor:
    """Return a copy of ``images`` in which a square at a random place is zero, in every image another.

    Its centre is uniform over the image's pixels, so part of it may lie outside. What is random comes from torch's
    generator of the device.

    Source: DeVries & Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017, section 3.

    Args:
        images: (batch, channels, height, width), normalised, so that zero is the mean colour.
        share: the square's side as a share of the shorter side of an image, rounded to pixels.
    """
    batch, _, height, width = images.shape
    side, device = round(share * min(height, width)), images.device

    def covered(length: int) -> Tensor:
        """(batch, length): the rows, or the columns, that the square covers."""
        begins = torch.randint(length, (batch, 1), device=device) - side // 2
        offsets = torch.arange(length, device=device) - begins
        return (offsets >= 0) & (offsets < side)

    rows, columns = covered(height), covered(width)
    return images.clone().masked_fill_((rows[:, :, None] & columns[:, None, :])[:, None], 0)
