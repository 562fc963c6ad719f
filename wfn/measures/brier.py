"""Brier score of a network's probabilities."""

import torch
from torch import Tensor

from wfn.measures.common.kinds import OutputMeasure, Quantity, Values


class Brier(OutputMeasure):
    """The mean over images of the squared distance between the probabilities and the label as a one-hot vector: 0 to 2.

    Source: Brier, Verification of forecasts expressed in terms of probability, 1950, without his factor of one half.
    """

    quantities = (Quantity("brier", "Brier score", "{:.4f}", summary=False),)

    def __init__(self) -> None:
        self._sums = torch.zeros(2, dtype=torch.float64)

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Take a batch."""
        probabilities = scores.double().softmax(1)
        of_label = probabilities.gather(1, labels[:, None])[:, 0]
        # sum_k (p_k - 1[k = y])^2 = sum_k p_k^2 - 2 p_y + 1
        self._sums[0] += (probabilities.square().sum(1) - 2 * of_label + 1).sum()
        self._sums[1] += len(labels)

    def compute(self) -> Values:
        """The mean over all images."""
        return {"brier": float(self._sums[0] / self._sums[1])}
