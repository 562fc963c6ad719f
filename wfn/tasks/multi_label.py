"""Any number of labels for each input."""

import torch
from torch import Tensor
from torch.nn import functional

from wfn.errors import UserError
from wfn.tasks.quantity import Quantity
from wfn.tasks.task import Measured, OutputTask


class MultiLabel(OutputTask):
    """Binary cross-entropy, nats a label, and the F1 score over all labels together, at probability one half.

    Outputs are scores before the sigmoid, [batch, labels]; labels are 0 or 1, of any dtype,
    [batch, labels]; numbers between them are taken as probabilities, of which more than one half counts as 1.
    """

    name = "multi_label"
    quantities = (
        Quantity("f1", "F1 over all labels (%)", better="higher"),
        Quantity("all_right", "inputs with every label right (%)", better="higher"),
        Quantity("loss", "binary cross-entropy (nats)", "{:.4f}"),
    )

    def labels(self, inputs: object, labels: Tensor) -> Tensor:
        """As float32."""
        return labels.float()

    def width(self, inputs: object, labels: Tensor) -> int:
        """The labels of one input; raises :class:`UserError` for one that is not from 0 to 1."""
        if (wrong := labels[(labels < 0) | (labels > 1)]).numel():
            raise UserError(
                f"labels of task {self.name!r} must be from 0 to 1, one for each label that an input may have, "
                f"but one is {float(wrong[0]):g}: recode them, or choose another task"
            )
        return labels[0].numel()

    def loss_of(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean binary cross-entropy, nats."""
        return functional.binary_cross_entropy_with_logits(outputs, labels)

    def sums_of(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """True positives, false ones of both kinds, inputs all right, inputs, loss, labels: float64 [6]."""
        told, true = outputs > 0, labels > 0.5
        loss = functional.binary_cross_entropy_with_logits(outputs, labels, reduction="sum")
        right = (told == true).flatten(1).all(1)
        parts = [(told & true).sum(), (told != true).sum(), right.sum(), len(labels), loss, labels.numel()]
        return torch.stack([torch.as_tensor(part, dtype=torch.float64, device=outputs.device) for part in parts])

    def measures(self, sums: Tensor) -> Measured:
        """F1 is 100 where no label is to be told and none is."""
        positives, wrong, right, inputs, loss, labels = sums.tolist()
        f1 = 2 * positives / (2 * positives + wrong) if positives or wrong else 1.0
        return {"f1": 100 * f1, "all_right": 100 * right / inputs, "loss": loss / labels}
