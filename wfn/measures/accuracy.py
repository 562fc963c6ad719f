"""Accuracy and loss of a network on labelled data."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wfn.measures.common.kinds import OutputMeasure, Values
from wfn.measures.common.predictions import predict
from wfn.tasks.classification import Classification


class Accuracy(OutputMeasure):
    """Top-1 and top-5 in percent and the mean cross-entropy: those of :class:`Classification`."""

    quantities = Classification.quantities

    def __init__(self) -> None:
        self._task, self._sums = Classification(), torch.zeros(4, dtype=torch.float64)

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Take a batch."""
        self._sums += self._task.sums_of(scores, labels)

    def compute(self) -> Values:
        """Means over all images."""
        return self._task.measures(self._sums)


@dataclass(frozen=True)
class Score:
    """How well a network does: ``top1`` and ``top5`` in percent, ``loss`` as mean cross-entropy in nats."""

    top1: float
    top5: float
    loss: float


def evaluate(model: nn.Module, batches: Iterable, device: torch.device, precision: str = "float32") -> Score:
    """Score ``model`` in eval mode on ``batches`` of (inputs, labels).

    Where several ranks train together (:mod:`wfn.system.ranks`), each takes its share of the batches, and every one
    gets the score of all.
    """
    accuracy = Accuracy()
    for scores, labels in predict(model, batches, device, precision).batches:
        accuracy.update(scores, labels)
    return Score(**accuracy.compute())
