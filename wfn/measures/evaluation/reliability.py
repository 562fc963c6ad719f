"""A reliability diagram in numbers: how many images each bin of confidence has, and how many of them are right."""

from typing import NamedTuple

import torch

from wfn.measures.calibration_error import BINS, bins_of
from wfn.measures.common.predictions import Predictions


class ReliabilityBin(NamedTuple):
    """A bin of equal width, the first of which begins at 0.

    Attributes:
        images: whose confidence, the largest probability, lies in it.
        confidence: the sum of theirs.
        right: how many of them are classified rightly.
    """

    images: int
    confidence: float
    right: int


def reliability(predictions: Predictions) -> tuple[ReliabilityBin, ...]:
    """The :data:`BINS` bins, each open below and closed above, as the expected calibration error has them."""
    confidences = predictions.scores.double().softmax(1).max(1).values
    inside = bins_of(confidences)
    right = torch.from_numpy(predictions.correct).double()
    sums = [torch.bincount(inside, amounts, BINS) for amounts in (torch.ones_like(right), confidences, right)]
    rows = zip(*(amounts.tolist() for amounts in sums), strict=True)
    return tuple(ReliabilityBin(int(images), confidence, int(hits)) for images, confidence, hits in rows)
