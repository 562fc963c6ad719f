"""One class of several for each input."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from wfn.errors import UserError
from wfn.tasks.batches import split
from wfn.tasks.quantity import Quantity
from wfn.tasks.task import Measured, OutputTask

TOP = 5


class Classification(OutputTask):
    """Cross-entropy, nats, and top-1 and top-5 in percent; with under five classes top-5 counts them all.

    Outputs are scores before any softmax, [batch, classes]; labels are class numbers, int64 [batch].
    """

    name = "classification"
    has_classes = True
    scans_labels = True
    quantities = (
        Quantity("top1", "top-1 (%)", better="higher", meaning="test images whose label is the best class"),
        Quantity("top5", "top-5 (%)", better="higher", meaning="or among the best five"),
        Quantity("loss", "cross-entropy (nats)", "{:.4f}", summary=False),
    )

    def width(self, inputs: Any, labels: Tensor) -> int:
        """One more than the highest label."""
        return int(labels.max()) + 1

    def loss_of(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean cross-entropy, nats."""
        return functional.cross_entropy(outputs, labels)

    def class_scores(self, outputs: Tensor) -> Tensor:
        """The outputs themselves."""
        return outputs

    def sums_of(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Right ones, right among the best five, cross-entropy, inputs: float64 [4]."""
        ranked = outputs.topk(min(TOP, outputs.shape[1])).indices == labels[:, None]
        best = outputs.topk(1).indices[:, 0]  # of equal scores as everywhere: among five it may be another
        sums = torch.zeros(4, dtype=torch.float64, device=outputs.device)
        sums[0] += (best == labels).sum()
        sums[1] += ranked.sum()
        sums[2] += functional.cross_entropy(outputs, labels, reduction="sum")
        sums[3] += len(labels)
        return sums

    def measures(self, sums: Tensor) -> Measured:
        """Means over all inputs."""
        top1, top5, loss = (sums[:3] / sums[3]).tolist()
        return {"top1": 100 * top1, "top5": 100 * top5, "loss": loss}

    def check(self, model: nn.Module, batch: Any, classes: int) -> None:
        """Raise :class:`UserError` unless ``model`` gives a score for each of ``classes``."""
        outputs = self.outputs(model, split(batch)[0])
        if outputs.dim() != 2 or outputs.shape[1] < classes:
            raise UserError(
                f"the network must give {classes} scores an input for labels 0..{classes - 1}, but gives "
                f"{tuple(outputs.shape)}; for another task give task= (--task), or a loss= and a score= of your own"
            )
