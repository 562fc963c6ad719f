"""Test images under corruptions of five severities: CIFAR-10-C where its files lie, else six kinds made here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from wfn.data.corrupted.cifar10_c import FOLDER, archived
from wfn.data.corrupted.made_here import made_here
from wfn.data.dataset import Data
from wfn.data.in_memory import InMemoryBatches
from wfn.errors import UserError

SEVERITIES = (1, 2, 3, 4, 5)
LIKE = f"like {FOLDER}"
Corrupt = Callable[[int], tuple[Tensor, Tensor]]  # severity -> images, uint8 [n, c, h, w], and labels [n]


@dataclass(frozen=True)
class CorruptedSet:
    """Test images under one corruption at one severity.

    Attributes:
        corruption: its name.
        severity: 1 to 5.
    """

    corruption: str
    severity: int
    _clean: InMemoryBatches
    _corrupt: Corrupt

    def batches(self) -> InMemoryBatches:
        """The images with their labels, normalised as the clean ones are; read or made in each call."""
        return self._clean.of_others(*self._corrupt(self.severity))


def corrupted_sets(data: Data, folder: Path, images: int) -> tuple[str, Sequence[CorruptedSet]]:
    """Every corruption at every severity, the mildest first, of the first ``images`` test images of ``data``.

    Those of ``folder/CIFAR-10-C`` where the data are CIFAR-10 and this folder is there; else six corruptions are made
    here, of any 8-bit images of one or three channels (:mod:`wfn.data.corrupted.made_here`). They are the same in every
    run, whatever its seed.

    Returns:
        what they are, ``CIFAR-10-C`` or ``like CIFAR-10-C``, and the sets.

    Raises:
        UserError: the test images are no 8-bit ones in memory; a file of CIFAR-10-C is missing or of a wrong form.
    """
    clean = data.test
    if not isinstance(clean, InMemoryBatches) or not clean.is_8_bit or data.input_shape[0] not in (1, 3):
        raise UserError(
            f"corrupted images are made of 8-bit images of 1 or 3 channels in memory, as those of digits and cifar10 "
            f"are, which the test images of {data.name!r} are not: leave out --corrupted"
        )
    count = min(images, len(clean.labels))
    in_files = data.name == "cifar10" and (folder / FOLDER).is_dir()
    corruptions = archived(folder / FOLDER, count) if in_files else made_here(*clean.first(count))
    found = [CorruptedSet(name, severity, clean, corrupt) for name, corrupt in corruptions.items()
             for severity in SEVERITIES]  # fmt: skip
    return FOLDER if in_files else LIKE, found
