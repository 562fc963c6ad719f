"""One epoch of training: what every method has in common, and what a step may make small."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from math import inf, isfinite
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn import functional

from wfn.data.passes import on_device, shard_batches
from wfn.errors import UserError, require
from wfn.system import ranks
from wfn.system.precision import autocast
from wfn.training.flat_weights import FlatWeights
from wfn.training.updates import Update

Objective = Callable[[Tensor, Tensor, Tensor], Tensor]  # inputs, outputs, labels -> mean over the batch, a scalar


def cross_entropy(inputs: Tensor, outputs: Tensor, labels: Tensor) -> Tensor:
    """The objective of a network that learns from labels alone, nats; ``outputs`` are scores [batch, classes]."""
    return functional.cross_entropy(outputs, labels)


class Distillation:
    """The objective of a network that learns from a teacher: ``(1 - share) CE(labels) + share T^2 KL(teacher || it)``.

    Both networks' scores are divided by the temperature T before the softmax of the divergence; T^2 keeps the size of
    its gradient.

    Source: Hinton, Vinyals & Dean, Distilling the Knowledge in a Neural Network, 2015, section 2.

    Args:
        teacher: a network with the same outputs, used in eval mode and without gradients.
        temperature: T, above 0.
        share: of the divergence, from 0 to 1; the rest is the labels'.
    """

    def __init__(self, teacher: nn.Module, temperature: float, share: float) -> None:
        self._teacher, self._temperature, self._share = teacher.eval().requires_grad_(False), temperature, share

    def __call__(self, inputs: Tensor, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean over a batch."""
        with torch.no_grad():
            expected = functional.log_softmax(self._teacher(inputs).float() / self._temperature, 1)
        log_shares = functional.log_softmax(outputs.float() / self._temperature, 1)
        divergence = functional.kl_div(log_shares, expected, reduction="batchmean", log_target=True)
        from_teacher = self._share * self._temperature**2 * divergence
        if self._share == 1:
            return from_teacher
        return from_teacher + (1 - self._share) * cross_entropy(inputs, outputs, labels)


def objective_of(model: nn.Module, share: float, temperature: float) -> Objective:
    """Distillation from ``model`` as it is now, by a copy; without a ``share``, cross-entropy with the labels."""
    return Distillation(deepcopy(model), temperature, share) if share else cross_entropy


def check_distillation(share: float, temperature: float) -> None:
    """Raise :class:`UserError` unless the options of those names, of methods that train, can work."""
    require("distillation", share, 0 <= share <= 1, "from 0 (labels alone) to 1 (the float network's outputs alone)")
    require("distillation_temperature", temperature, 0 < temperature < inf, "above 0")


def train_epoch(
    model: nn.Module,
    weights: FlatWeights,
    batches: Iterable,
    update: Update,
    precision: str,
    on_step: Callable[[int], None],
    objective: Objective = cross_entropy,
) -> dict[str, float]:
    """Train on one pass over ``batches``; what a step does is ``update``'s to say.

    Where several ranks train together (:mod:`wfn.system.ranks`), each computes on its part of every batch; loss and
    gradients are those of the whole batch on all of them, and so are the scores.

    Args:
        weights: the weights of ``model``.
        update: told before each step, and after it with the objective (a scalar), whose gradients are then in
            ``weights.values.grad``; changes ``weights.values``.
        precision: of the forward passes, one of ``PRECISIONS``.
        on_step: called with the number of each step done, 1, 2, ...
        objective: what a step makes small.

    Returns:
        ``train_loss`` (the objective, nats a sample), ``train_top1`` (percent) and ``training_seconds``.

    Raises:
        UserError: the loss is no longer finite, or a batch holds fewer inputs than there are ranks.
    """
    begin = perf_counter()
    device = weights.values.device
    sums = torch.zeros(3, device=device, dtype=torch.float64)
    model.train()
    for step, (inputs, labels) in enumerate(on_device(shard_batches(batches), device), 1):
        update.before(step)
        weights.values.grad.zero_()
        with autocast(device, precision):
            outputs = model(inputs)
            loss = objective(inputs, outputs, labels)
        loss = ranks.backward(loss, len(labels), weights.values.grad)
        update.after(loss)
        sums[0] += loss * len(labels)
        sums[1] += (outputs.argmax(1) == labels).sum()
        sums[2] += len(labels)
        on_step(step)
    sums = ranks.total(sums)
    loss, correct = (sums[:2] / sums[2]).tolist()
    if not isfinite(loss):
        raise UserError(f"training diverged (loss {loss}): lower learning_rate or alpha, or use precision=float32")
    return {"train_loss": loss, "train_top1": 100 * correct, "training_seconds": perf_counter() - begin}
