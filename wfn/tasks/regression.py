"""Numbers for each input."""

import torch
from torch import Tensor
from torch.nn import functional

from wfn.errors import UserError
from wfn.tasks.quantity import Quantity
from wfn.tasks.task import Measured, OutputTask


class Regression(OutputTask):
    """Mean squared error; its root, and R^2 over all numbers together.

    Outputs and labels have one shape, [batch, ...]; where one of them has a last dimension of 1 more, it is left out.
    """

    name = "regression"
    quantities = (
        Quantity("rmse", "root of the mean squared error", "{:.4g}"),
        Quantity("r2", "R² (share of the variance explained)", "{:.4f}", better="higher"),
        Quantity("loss", "mean squared error", "{:.4g}"),
    )

    def labels(self, inputs: object, labels: Tensor) -> Tensor:
        """As float32."""
        return labels.float()

    def width(self, inputs: object, labels: Tensor) -> int:
        """The labels of one input."""
        return labels[0].numel()

    def loss_of(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean squared error."""
        return functional.mse_loss(*_alike(outputs, labels))

    def sums_of(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Squared errors, labels, their squares, and how many: float64 [4]."""
        outputs, labels = (tensor.double() for tensor in _alike(outputs, labels))
        errors, count = (outputs - labels).square().sum(), labels.new_tensor(labels.numel())
        return torch.stack([errors, labels.sum(), labels.square().sum(), count])

    def measures(self, sums: Tensor) -> Measured:
        """R^2 is 0 for labels that are all one number."""
        errors, total, squares, count = sums.tolist()
        variance = squares - total**2 / count
        r2 = 1 - errors / variance if variance > 0 else 0.0
        return {"rmse": (errors / count) ** 0.5, "r2": r2, "loss": errors / count}


def _alike(outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one shape: broadcasting would compare every input's output with every input's label."""
    if outputs.ndim == labels.ndim + 1 and outputs.shape[-1] == 1:
        outputs = outputs.squeeze(-1)
    elif labels.ndim == outputs.ndim + 1 and labels.shape[-1] == 1:
        labels = labels.squeeze(-1)
    if outputs.shape != labels.shape:
        raise UserError(
            f"the network gives {tuple(outputs.shape)} for labels {tuple(labels.shape)}: for regression they must be "
            "of one shape"
        )
    return outputs, labels
