"""Six corruptions like those of CIFAR-10-C, of any small 8-bit images; kinds and names are its, strengths are ours."""

from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from math import ceil

import numpy as np
import torch
from PIL import Image  # torchvision has no mean over areas, and its JPEG is deprecated
from torch import Tensor

SEED = 0  # of the noise: every run sees the same images
# Corruption -> its strength at severity 1 to 5.
STRENGTHS: Mapping[str, tuple[float, ...]] = {
    "gaussian_noise": (0.04, 0.08, 0.12, 0.16, 0.2),  # standard deviation, of white
    "gaussian_blur": (0.4, 0.6, 0.8, 1.0, 1.3),  # standard deviation, pixels
    "contrast": (0.75, 0.55, 0.4, 0.25, 0.15),  # of the image's own
    "brightness": (1.2, 1.4, 1.65, 1.9, 2.2),  # times
    "pixelate": (0.9, 0.75, 0.6, 0.45, 0.3),  # of the image's height and width
    "jpeg_compression": (80, 60, 40, 25, 12),  # quality
}


def made_here(images: Tensor, labels: Tensor) -> dict[str, Callable[[int], tuple[Tensor, Tensor]]]:
    """Name -> what gives all ``images``, uint8 [n, c, h, w], at a severity, with their labels."""
    return {name: partial(_corrupted, name, images, labels) for name in STRENGTHS}


def corrupted(images: Tensor, name: str, severity: int) -> Tensor:
    """The ``images``, uint8 [n, c, h, w] with c 1 or 3, under a corruption at severity 1 to 5; the same each time."""
    return _KINDS[name](images, STRENGTHS[name][severity - 1])


def _corrupted(name: str, images: Tensor, labels: Tensor, severity: int) -> tuple[Tensor, Tensor]:
    return corrupted(images, name, severity), labels


def _noise(images: Tensor, strength: float) -> Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(SEED))
    return (images + 255 * strength * noise).round().clamp(0, 255).to(torch.uint8)


def _blur(images: Tensor, strength: float) -> Tensor:
    from torchvision.transforms.v2.functional import gaussian_blur

    across = 2 * min(ceil(3 * strength), min(images.shape[2:]) - 1) + 1  # the border is mirrored, so it must be smaller
    return gaussian_blur(images, [across, across], [strength, strength])


def _contrast(images: Tensor, strength: float) -> Tensor:
    from torchvision.transforms.v2.functional import adjust_contrast

    return adjust_contrast(images, strength)


def _brightness(images: Tensor, strength: float) -> Tensor:
    from torchvision.transforms.v2.functional import adjust_brightness

    return adjust_brightness(images, strength)


def _pixelate(images: Tensor, strength: float) -> Tensor:
    def coarse(picture: Image.Image) -> Image.Image:
        fewer = [max(round(strength * pixels), 1) for pixels in picture.size]
        return picture.resize(fewer, Image.Resampling.BOX).resize(picture.size, Image.Resampling.BOX)

    return _one_by_one(images, coarse)


def _jpeg(images: Tensor, strength: float) -> Tensor:
    def written_and_read(picture: Image.Image) -> Image.Image:
        file = BytesIO()
        picture.save(file, "JPEG", quality=int(strength))
        return Image.open(file)

    return _one_by_one(images, written_and_read)


def _one_by_one(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    found = []
    for pixels in images.permute(0, 2, 3, 1).numpy():
        picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        found.append(np.array(change(picture)).reshape(pixels.shape))
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)


_KINDS: Mapping[str, Callable[[Tensor, float], Tensor]] = {
    "gaussian_noise": _noise,
    "gaussian_blur": _blur,
    "contrast": _contrast,
    "brightness": _brightness,
    "pixelate": _pixelate,
    "jpeg_compression": _jpeg,
}
