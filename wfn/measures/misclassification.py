"""How well a network's confidence tells right from wrong."""

import numpy as np
import torch
from torch import Tensor

from wfn.measures.common.kinds import OutputMeasure, Quantity, Values


class Misclassification(OutputMeasure):
    """Area under the ROC curve of confidence, the largest probability, for telling right images from wrong ones.

    It is how often a right image is more confident than a wrong one; equal confidences count one half. Without a wrong
    or without a right image there is no such number.
    """

    quantities = (
        Quantity("confidence_auroc", "AUROC of confidence for being right", "{:.4f}", better="higher", summary=False),
    )

    def __init__(self) -> None:
        self._confidences: list[Tensor] = []
        self._correct: list[Tensor] = []

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Take a batch."""
        self._confidences.append(scores.double().softmax(1).max(1).values)
        self._correct.append(scores.topk(1).indices[:, 0] == labels)

    def compute(self) -> Values:
        """The area, from the sum of the ranks of the right images (Mann & Whitney's U)."""
        confidences, correct = torch.cat(self._confidences).numpy(), torch.cat(self._correct).numpy()
        right = int(correct.sum())
        pairs = right * (len(correct) - right)
        if not pairs:
            return {}
        _, places, counts = np.unique(confidences, return_inverse=True, return_counts=True)
        mean_ranks = counts.cumsum() - (counts - 1) / 2  # of equal confidences
        ranks = float(mean_ranks[places][correct].sum())
        return {"confidence_auroc": (ranks - right * (right + 1) / 2) / pairs}
