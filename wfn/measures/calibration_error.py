"""How far a network's confidence is from its accuracy: expected calibration errors.

By hand: of the three torchmetrics has the first alone, and for one formula it would bring a dependency of every
installation with further ones of its own.
"""

import torch
from torch import Tensor

from wfn.measures.common.kinds import OutputMeasure, Quantity, Values

BINS = 15


class CalibrationError(OutputMeasure):
    """Expected calibration errors: the mean over bins, weighted by their size, of |accuracy - mean confidence|.

    ``ece``: confidence is the largest probability, in 15 bins of equal width, each open below and closed above (Guo,
    Pleiss, Sun & Weinberger, On Calibration of Modern Neural Networks, 2017). ``ece_adaptive``: in 15 bins of equally
    many images, sizes a multiple of 15 lacks go to the first ones; equal confidences stand in the order of the images.
    ``ece_classwise``: of each class its probability against how often it is the label, in 15 bins of equal width; mean
    over the classes (Nixon et al., Measuring Calibration in Deep Learning, 2019, has both of the latter).

    The confidences of a whole pass are kept, 9 bytes an image. Fewer images than bins leave bins empty.
    """

    quantities = (
        Quantity(
            "ece",
            "expected calibration error",
            "{:.4f}",
            meaning="distance between confidence and accuracy, mean over 15 bins of confidence",
        ),
        Quantity("ece_adaptive", "  with equally filled bins", "{:.4f}", summary=False),
        Quantity("ece_classwise", "  of each class, mean", "{:.4f}", summary=False),
    )

    def __init__(self) -> None:
        self._confidences: list[Tensor] = []
        self._correct: list[Tensor] = []
        self._by_class = torch.zeros(0, 3, BINS, dtype=torch.float64)  # of class and bin: images, labels, confidence

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Take a batch."""
        probabilities = scores.double().softmax(1)
        confidences = probabilities.max(1).values
        self._confidences.append(confidences)
        self._correct.append(scores.topk(1).indices[:, 0] == labels)
        classes = scores.shape[1]
        if not len(self._by_class):
            self._by_class = torch.zeros(classes, 3, BINS, dtype=torch.float64)
        is_label = torch.nn.functional.one_hot(labels, classes).double()
        cells = bins_of(probabilities) + BINS * torch.arange(classes)
        for position, amounts in enumerate((torch.ones_like(probabilities), is_label, probabilities)):
            sums = torch.bincount(cells.flatten(), amounts.flatten(), classes * BINS)
            self._by_class[:, position] += sums.view(classes, BINS)

    def compute(self) -> Values:
        """The three errors, as shares."""
        confidences, correct = torch.cat(self._confidences), torch.cat(self._correct).double()
        bins = bins_of(confidences)
        sums = [torch.bincount(bins, amounts, BINS) for amounts in (confidences, correct)]
        order = confidences.argsort(stable=True)
        filled = zip(confidences[order].tensor_split(BINS), correct[order].tensor_split(BINS), strict=True)
        count = len(confidences)
        _, labels, probabilities = self._by_class.unbind(1)
        return {
            "ece": float((sums[0] - sums[1]).abs().sum() / count),
            "ece_adaptive": float(sum((inside.sum() - right.sum()).abs() for inside, right in filled) / count),
            "ece_classwise": float((labels - probabilities).abs().sum(1).mean() / count),
        }


def bins_of(probabilities: Tensor) -> Tensor:
    """Of each probability its bin of equal width, open below and closed above; 0 is in the first."""
    edges = torch.arange(1, BINS, dtype=torch.float64) / BINS
    return torch.bucketize(probabilities, edges)
