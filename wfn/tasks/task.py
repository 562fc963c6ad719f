"""What a network is to do: a loss to train by, and a score with its direction."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from wfn.errors import UserError, require
from wfn.tasks.batches import call, main_output, size, split
from wfn.tasks.quantity import Quantity

Measured = dict[str, float]


class Task(ABC):
    """A loss, and what is measured of a network on data that it was not trained on.

    A batch is what the loader gives, on the network's device.

    Attributes:
        name: by which the command line calls it.
        quantities: what is measured; the first is the score by which networks are compared, ``loss`` is among them.
        has_classes: whether outputs are scores of classes, of which one is right.
        scans_labels: whether :meth:`width` has to see all labels, not some of them.
        needs_labels: whether every batch must have labels, a tensor.
    """

    name: str
    quantities: tuple[Quantity, ...]
    has_classes: ClassVar[bool] = False
    scans_labels: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False

    @property
    def score(self) -> Quantity:
        """By which networks are compared."""
        return self.quantities[0]

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """What training makes small: the mean over the batch, a scalar."""

    @abstractmethod
    def infer(self, model: nn.Module, batch: Any) -> object:
        """What one inference is: the passes through ``model`` that a score takes."""

    @abstractmethod
    def sums(self, model: nn.Module, batch: Any) -> Tensor:
        """What :meth:`measures` needs of a batch, float64 [k]: it is added up over all batches."""

    @abstractmethod
    def measures(self, sums: Tensor) -> Measured:
        """The quantities by name, from the ``sums`` over all batches."""

    def width(self, inputs: Any, labels: Any) -> int:
        """How many outputs a network needs for these labels, as far as they tell; 0 where they do not."""
        return 0

    def check(self, model: nn.Module, batch: Any, classes: int) -> None:
        """Raise :class:`UserError` unless the loss of ``batch``, in eval mode, is a scalar."""
        loss = self.loss(model, batch)
        if not isinstance(loss, Tensor) or loss.ndim or not loss.is_floating_point():
            found = f"a tensor of shape {list(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise UserError(f"the loss of task {self.name!r} must be a scalar tensor, but is {found}: take its mean")


class OutputTask(Task):
    """A task whose loss and measures read the network's main output and the labels alone."""

    needs_labels = True

    def outputs(self, model: nn.Module, inputs: Any) -> Tensor:
        """The main output (:func:`wfn.tasks.batches.main_output`)."""
        return main_output(call(model, inputs))

    def labels(self, inputs: Any, labels: Any) -> Tensor:
        """The labels as :meth:`loss_of` takes them."""
        return labels

    @abstractmethod
    def loss_of(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean over the batch, a scalar."""

    @abstractmethod
    def sums_of(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """As :meth:`Task.sums`; ``outputs`` are float32."""

    def class_scores(self, outputs: Tensor) -> Tensor:
        """The outputs as scores of classes, [n, classes], of a task that has them."""
        raise UserError(f"task {self.name!r} has no scores of classes")

    def counts(self, outputs: Tensor, labels: Tensor) -> Tensor | None:
        """Which of the :meth:`class_scores` have a label that counts, bool [n]; None where all have."""
        return None

    def infer(self, model: nn.Module, batch: Any) -> object:
        """One pass."""
        return call(model, split(batch)[0])

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """See :meth:`Task.loss`."""
        inputs, labels = split(batch)
        return self.loss_of(self.outputs(model, inputs), self.labels(inputs, labels))

    def sums(self, model: nn.Module, batch: Any) -> Tensor:
        """See :meth:`Task.sums`."""
        inputs, labels = split(batch)
        return self.sums_of(self.outputs(model, inputs).float(), self.labels(inputs, labels)).double()


class OwnTask(Task):
    """A user's own functions as a task.

    Args:
        loss: takes (model, batch) and gives the mean loss over the batch, a scalar tensor.
        score: takes (model, batch) and gives the mean score over the batch, a number or a scalar tensor.
        better: ``higher`` or ``lower``, which scores are better.
        score_name: by which the score is logged and shown.
        name: of the task.
    """

    def __init__(
        self,
        loss: Callable[[nn.Module, Any], Tensor],
        score: Callable[[nn.Module, Any], Tensor | float],
        better: Literal["higher", "lower"] = "higher",
        score_name: str = "score",
        name: str = "own",
    ) -> None:
        for what, function in (("loss", loss), ("score", score)):
            require(what, function, callable(function), "a function of (model, batch)")
        require("better", better, better in ("higher", "lower"), "'higher' or 'lower'")
        is_name = isinstance(score_name, str) and score_name.isidentifier() and score_name != "loss"
        require("score_name", score_name, is_name, "a name of letters, digits and _, and not 'loss'")
        self.name, self._loss, self._score = name, loss, score
        self.quantities = (
            Quantity(score_name, score_name.replace("_", " "), "{:.4g}", better),
            Quantity("loss", "loss", "{:.4g}"),
        )

    def check(self, model: nn.Module, batch: Any, classes: int) -> None:
        """Raise :class:`UserError` unless loss and score of ``batch``, in eval mode, are one number each."""
        super().check(model, batch, classes)
        score = self._score(model, batch)
        if isinstance(score, Tensor) and score.numel() != 1:
            raise UserError(
                f"the score of task {self.name!r} must be one number, but is a tensor of shape {list(score.shape)}: "
                "take its mean"
            )

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """See :meth:`Task.loss`."""
        return self._loss(model, batch)

    def infer(self, model: nn.Module, batch: Any) -> object:
        """What the score does."""
        return self._score(model, batch)

    def sums(self, model: nn.Module, batch: Any) -> Tensor:
        """See :meth:`Task.sums`."""
        values = [float(self._score(model, batch)), float(self._loss(model, batch)), 1.0]
        return torch.tensor(values, dtype=torch.float64) * size(batch)

    def measures(self, sums: Tensor) -> Measured:
        """Means over all inputs."""
        score, loss = (sums[:2] / sums[2]).tolist()
        return {self.score.name: score, "loss": loss}
