"""CIFAR-10-C (Hendrycks & Dietterich, 2019): CIFAR-10's test images under fifteen corruptions, as files of NumPy."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wfn.errors import UserError

FOLDER = "CIFAR-10-C"
CORRUPTIONS = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
IMAGES = 10_000  # of each severity; they follow each other in a file
LABELS = "labels.npy"


def archived(folder: Path, count: int) -> dict[str, Callable[[int], tuple[Tensor, Tensor]]]:
    """Name -> what gives the first ``count`` images of a severity, uint8 [count, 3, 32, 32], and labels int64 [count].

    The four corruptions that the archive calls extra are left out, as in its authors' mean.

    Raises:
        UserError: a file is missing, or of another form than the archive's.
    """
    names = [LABELS, *(f"{name}.npy" for name in CORRUPTIONS)]
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise UserError(
            f"{folder} lacks {missing[0]}{f' and {len(missing) - 1} more' if missing[1:] else ''}: unpack the whole of "
            "CIFAR-10-C.tar there, or take the folder away for corruptions that are made here"
        )
    labels = _opened(folder / LABELS, (5 * IMAGES,))
    files = {name: _opened(folder / f"{name}.npy", (5 * IMAGES, 32, 32, 3)) for name in CORRUPTIONS}
    return {name: partial(_of_severity, images, labels, count) for name, images in files.items()}


def _opened(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The file, of which nothing is read yet."""
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is no sound file of NumPy ({error}): unpack CIFAR-10-C.tar anew") from error
    if values.shape != shape or (values.ndim > 1 and values.dtype != np.uint8):
        raise UserError(
            f"{path} holds {values.dtype} of {values.shape}, but must hold those of CIFAR-10-C, {shape}: unpack it anew"
        )
    return values


def _of_severity(images: np.ndarray, labels: np.ndarray, count: int, severity: int) -> tuple[Tensor, Tensor]:
    stretch = slice((severity - 1) * IMAGES, (severity - 1) * IMAGES + count)
    chosen = torch.from_numpy(np.array(images[stretch])).permute(0, 3, 1, 2)
    return chosen, torch.from_numpy(np.array(labels[stretch]).astype(np.int64))
