"""Random crops and flips of a whole batch at once, on the device where it lies."""

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
