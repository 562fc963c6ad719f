"""Accuracy and loss of a network on labelled data."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from wfn.measures.common.kinds import OutputMeasure, Quantity, Values
from wfn.measures.common.predictions import predict

TOP = 5


class Accuracy(OutputMeasure):
    """Top-1 and top-5 in percent and the mean cross-entropy; with under five classes top-5 counts them all."""

    quantities = (
        Quantity("top1", "top-1 (%)", better="higher"),
        Quantity("top5", "top-5 (%)", better="higher"),
        Quantity("loss", "cross-entropy (nats)", "{:.4f}", summary=False),
    )

    def __init__(self) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64)

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Take a batch."""
        ranked = scores.topk(min(TOP, scores.shape[1])).indices == labels[:, None]
        self._sums[0] += ranked[:, 0].sum()
        self._sums[1] += ranked.sum()
        self._sums[2] += functional.cross_entropy(scores, labels, reduction="sum")
        self._sums[3] += len(labels)

    def compute(self) -> Values:
        """Means over all images."""
        top1, top5, loss = (self._sums[:3] / self._sums[3]).tolist()
        return {"top1": 100 * top1, "top5": 100 * top5, "loss": loss}


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
