"""What every data set is: batches to train on, to hold back and to test with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from wfn import tasks

if TYPE_CHECKING:
    from wfn.tasks.task import Task


class Batches(Protocol):
    """Batches that can be gone through again and again: pairs of inputs and labels, or another form of a batch.

    Which forms there are, :func:`wfn.tasks.batches.split` says. The tensors may lie on the CPU whatever the device: a
    loop moves them.
    """

    def __iter__(self) -> Iterator[Any]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Data:
    """A data set in its parts.

    Attributes:
        name: as it was asked for.
        train: shuffled and augmented training batches.
        validation: those held back from training, as they are; None where there are none.
        test: the test batches, for reported figures only.
        input_shape: of one input, without the batch; of several inputs that of the first.
        classes: number of classes, labels are 0..classes - 1; or how many numbers the task asks for; 0 where it is not
            known.
        fingerprint: sha256 (hex) of the content of all three parts; so it depends on what was held back, too.
        task: what a network is to do with it.
    """

    name: str
    train: Batches
    validation: Batches | None
    test: Batches
    input_shape: tuple[int, ...]
    classes: int
    fingerprint: str
    task: Task = field(default_factory=lambda: tasks.load(tasks.CLASSIFICATION))
