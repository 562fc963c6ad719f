"""What a network gives for each test image, before and after a method: what a paired comparison needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wfn.errors import UserError
from wfn.system import ranks
from wfn.system.files import write_atomically
from wfn.system.fingerprint import fingerprint

OUTCOMES, OUTPUTS = "outcomes.safetensors", "outputs.safetensors"
LARGEST_OUTPUTS = 64 * 2**20  # bytes; the scores of larger test sets are not kept


class TestOutputs:
    """Collects outputs and labels of a pass over the test images; given to ``evaluate`` as ``observe``.

    Attributes:
        scores: float32 [n, classes], after :meth:`gather`.
        labels: int64 [n], after :meth:`gather`.
    """

    __test__ = False  # pytest takes it for a test otherwise

    def __init__(self) -> None:
        self._batches: list[tuple[Tensor, Tensor]] = []

    def __call__(self, outputs: Tensor, labels: Tensor) -> None:
        """Take a batch."""
        self._batches.append((outputs.cpu(), labels.cpu()))

    def gather(self) -> "TestOutputs":
        """Bring the ranks' batches into the order of one pass; every rank calls it once."""
        in_turn = zip_longest(*ranks.from_each(self._batches))  # rank r has batches r, r + ranks, ...
        batches = [batch for batch in chain.from_iterable(in_turn) if batch is not None]
        self.scores = torch.cat([scores for scores, _ in batches])
        self.labels = torch.cat([labels for _, labels in batches])
        self._batches = []
        return self

    @property
    def correct(self) -> np.ndarray:
        """bool [n], whether the top-1 class is the label; of equal scores the class that ``topk`` puts first."""
        return (self.scores.topk(1).indices[:, 0] == self.labels).numpy()


@dataclass(frozen=True)
class Outcomes:
    """Whether each test image is classified rightly, before and after.

    Attributes:
        before: bool [n].
        after: bool [n].
        labels_sha256: of the labels in the order of the images: outcomes with the same can be paired.
    """

    before: np.ndarray
    after: np.ndarray
    labels_sha256: str

    @property
    def lost(self) -> int:
        """Images that were right before and are wrong after."""
        return int(np.count_nonzero(self.before & ~self.after))

    @property
    def gained(self) -> int:
        """Images that were wrong before and are right after."""
        return int(np.count_nonzero(~self.before & self.after))


def paired(before: TestOutputs, after: TestOutputs) -> Outcomes | None:
    """Outcomes of the same images in the same order; None where the data come in another order each time."""
    if not torch.equal(before.labels, after.labels):
        return None
    return Outcomes(before.correct, after.correct, fingerprint([before.labels]))


def write(folder: Path, outcomes: Outcomes, before: TestOutputs, after: TestOutputs) -> None:
    """Write :data:`OUTCOMES`, a bit an image, and :data:`OUTPUTS`, the scores, where they are not too large.

    Raises:
        OSError: a file cannot be written.
    """
    bits = {name: torch.from_numpy(np.packbits(getattr(outcomes, name))) for name in ("before", "after")}
    about = {"images": str(len(outcomes.before)), "labels_sha256": outcomes.labels_sha256}
    write_atomically(folder / OUTCOMES, safetensors.torch.save(bits, about))
    scores = {"before": before.scores, "after": after.scores, "labels": before.labels}
    if sum(tensor.nbytes for tensor in scores.values()) <= LARGEST_OUTPUTS:
        write_atomically(folder / OUTPUTS, safetensors.torch.save(scores))


def read(path: Path) -> Outcomes:
    """Read what :func:`write` wrote.

    Raises:
        UserError: the file is not one of outcomes.
    """
    try:
        with safe_open(path, framework="np") as file:
            about: Mapping[str, str] = file.metadata() or {}
            images = int(about["images"])
            bits = {name: file.get_tensor(name) for name in ("before", "after")}
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} holds no outcomes of test images ({error}): leave the run out, or run it anew"
        ) from error
    if any(packed.dtype != np.uint8 or packed.shape != (-(-images // 8),) for packed in bits.values()):
        raise UserError(f"{path} does not hold the outcomes of {images} images: leave the run out, or run it anew")
    unpacked = {name: np.unpackbits(packed, count=images).astype(bool) for name, packed in bits.items()}
    return Outcomes(**unpacked, labels_sha256=about.get("labels_sha256", ""))
