"""What every data set is: batches to train on, to hold back and to test with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class Batches(Protocol):
    """Batches of inputs (batch, ...) and labels (batch,) int64, that can be gone through again and again.

    The tensors may lie on the CPU whatever the device: a loop moves them.
    """

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Data:
    """A data set in its parts.

    Attributes:
        name: as it was asked for.
        train: shuffled and augmented training batches.
        validation: those held back from training, as they are; None where there are none.
        test: the test batches, for reported figures only.
        input_shape: of one input, without the batch.
        classes: number of classes; labels are 0..classes - 1.
        fingerprint: sha256 (hex) of the content of all three parts; so it depends on what was held back, too.
    """

    name: str
    train: Batches
    validation: Batches | None
    test: Batches
    input_shape: tuple[int, ...]
    classes: int
    fingerprint: str
