"""A mean over the labels that count."""

from torch import Tensor
from torch.nn import functional


def mean_cross_entropy(scores: Tensor, labels: Tensor, ignored: int) -> Tensor:
    """The mean cross-entropy, nats, over the labels that are not ``ignored``; 0 where none counts.

    torch's own mean is NaN there, with which a batch of nothing but borders or padding ends a training.

    Args:
        scores: before any softmax, [count, classes, ...].
        labels: class numbers, int64 [count, ...].
    """
    summed = functional.cross_entropy(scores, labels, ignore_index=ignored, reduction="sum")
    return summed / (labels != ignored).sum().clamp(min=1)
