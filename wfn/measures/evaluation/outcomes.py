"""Which test images are right before and after a method: what a paired comparison needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from wfn.errors import UserError
from wfn.measures.common.predictions import Predictions
from wfn.system.files import write_atomically
from wfn.system.fingerprint import fingerprint

OUTCOMES, OUTPUTS = "outcomes.safetensors", "outputs.safetensors"
LARGEST_OUTPUTS = 64 * 2**20  # bytes; the scores of larger test sets are not kept


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
    def images(self) -> int:
        """How many test images."""
        return len(self.before)

    @property
    def lost(self) -> int:
        """Images that were right before and are wrong after."""
        return int(np.count_nonzero(self.before & ~self.after))

    @property
    def gained(self) -> int:
        """Images that were wrong before and are right after."""
        return int(np.count_nonzero(~self.before & self.after))


def paired(before: Predictions, after: Predictions) -> Outcomes | None:
    """Outcomes of the same images in the same order; None where the data come in another order each time."""
    if not torch.equal(before.labels, after.labels):
        return None
    return Outcomes(before.correct, after.correct, fingerprint([before.labels]))


def write(
    folder: Path, outcomes: Outcomes, before: Predictions, after: Predictions, sampled: Predictions | None
) -> None:
    """Write :data:`OUTCOMES`, a bit an image, and :data:`OUTPUTS`, the scores, where they are not too large.

    ``sampled``, where there is one, is the mean of drawn networks, whose scores are kept beside the others.

    Raises:
        OSError: a file cannot be written.
    """
    save(folder / OUTCOMES, outcomes)
    scores = {"before": before.scores, "after": after.scores, "labels": before.labels}
    scores |= {"sampled": sampled.scores} if sampled else {}
    if sum(tensor.nbytes for tensor in scores.values()) <= LARGEST_OUTPUTS:
        write_atomically(folder / OUTPUTS, safetensors.torch.save(scores))


def save(path: Path, outcomes: Outcomes) -> None:
    """Write the outcomes alone, a bit an image; raises :class:`OSError`."""
    bits = {name: torch.from_numpy(np.packbits(getattr(outcomes, name))) for name in ("before", "after")}
    about = {"images": str(outcomes.images), "labels_sha256": outcomes.labels_sha256}
    write_atomically(path, safetensors.torch.save(bits, about))


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
