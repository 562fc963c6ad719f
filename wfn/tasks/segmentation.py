"""One class of several for each pixel."""

import torch
from torch import Tensor
from torch.nn import functional

from wfn.tasks.counted import mean_cross_entropy
from wfn.tasks.quantity import Quantity
from wfn.tasks.task import Measured, OutputTask

IGNORED = 255  # the label of pixels that do not count, as in Pascal VOC and Cityscapes


class Segmentation(OutputTask):
    """Cross-entropy, nats a pixel, and the mean over the classes of intersection over union.

    Outputs are scores before any softmax, [batch, classes, ...]; labels are class numbers, [batch, ...]. Pixels of a
    negative label or of :data:`IGNORED`, where that is no class, do not count. Where the outputs are smaller than the
    labels, they are enlarged to their size (bilinear), as torchvision's networks do themselves.
    """

    name = "segmentation"
    has_classes = True
    scans_labels = True
    quantities = (
        Quantity("mean_iou", "mean intersection over union (%)", better="higher"),
        Quantity("pixel_accuracy", "pixels right (%)", better="higher"),
        Quantity("loss", "cross-entropy (nats a pixel)", "{:.4f}"),
    )

    def width(self, inputs: object, labels: Tensor) -> int:
        """One more than the highest label but :data:`IGNORED`."""
        return int(labels.masked_fill(labels == IGNORED, -1).max()) + 1

    def loss_of(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean cross-entropy over the pixels that count, nats."""
        return mean_cross_entropy(*_alike(outputs, labels), ignored=-1)

    def class_scores(self, outputs: Tensor) -> Tensor:
        """Of every pixel, [pixels, classes]."""
        return outputs.flatten(2).transpose(1, 2).flatten(0, 1)

    def counts(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Those of pixels that count; where outputs are smaller, the label nearest to each tells."""
        counted = _marked(outputs, labels) >= 0
        if outputs.ndim == 4 and outputs.shape[2:] != counted.shape[1:]:
            counted = functional.interpolate(counted[:, None].float(), outputs.shape[2:], mode="nearest-exact")
        return counted.flatten().bool()

    def sums_of(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The confusion matrix, label by told class, then the summed cross-entropy: float64 [classes^2 + 1]."""
        outputs, labels = _alike(outputs, labels)
        classes, counts = outputs.shape[1], labels >= 0
        pairs = labels[counts] * classes + outputs.argmax(1)[counts]
        confusion = torch.bincount(pairs, minlength=classes**2).double()
        loss = functional.cross_entropy(outputs, labels, ignore_index=-1, reduction="sum")
        return torch.cat([confusion, loss.double()[None]])

    def measures(self, sums: Tensor) -> Measured:
        """Classes that are neither there nor told are left out of the mean."""
        classes = round((len(sums) - 1) ** 0.5)
        confusion, pixels = sums[:-1].view(classes, classes), float(sums[:-1].sum()) or 1.0
        right = confusion.diagonal()
        union = confusion.sum(0) + confusion.sum(1) - right
        seen = union > 0
        iou = float((right[seen] / union[seen]).mean()) if bool(seen.any()) else 0.0
        return {
            "mean_iou": 100 * iou,
            "pixel_accuracy": 100 * float(right.sum()) / pixels,
            "loss": float(sums[-1]) / pixels,
        }


def _alike(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Both of the labels' size."""
    labels = _marked(outputs, labels)
    if outputs.ndim == 4 and outputs.shape[2:] != labels.shape[1:]:
        outputs = functional.interpolate(outputs, labels.shape[1:], mode="bilinear", align_corners=False)
    return outputs, labels


def _marked(outputs: Tensor, labels: Tensor) -> Tensor:
    """Labels, [batch, ...]; those that do not count are -1."""
    labels = labels.long()
    if labels.ndim == outputs.ndim and labels.shape[1] == 1:
        labels = labels.squeeze(1)
    ignored = labels < 0 if outputs.shape[1] > IGNORED else (labels < 0) | (labels == IGNORED)
    return labels.masked_fill(ignored, -1)
