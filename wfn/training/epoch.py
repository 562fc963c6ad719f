"""One epoch of training: what every method has in common, and what a step may make small."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from math import inf, isfinite
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from wfn.data.dataset import Data
from wfn.data.passes import ends_with_one, first_batch, moved, shard_batches
from wfn.errors import UserError, require
from wfn.networks.forward_pass import left_alone
from wfn.networks.own.examples import few
from wfn.networks.own.layout import layout
from wfn.system import ranks
from wfn.system.torch_context import autocast
from wfn.tasks.batches import copied, size, split, tensors
from wfn.tasks.classification import Classification
from wfn.tasks.task import OutputTask, Task
from wfn.training.flat_weights import FlatWeights
from wfn.training.updates import Update

LOG_OF_ZERO = -1000.0  # its exponential is zero as float32
Objective = Callable[[OutputTask, Any, Tensor, Tensor], Tensor]  # task, inputs, outputs, labels -> mean, a scalar


def from_labels(task: OutputTask, inputs: Any, outputs: Tensor, labels: Tensor) -> Tensor:
    """The objective of a network that learns from labels alone: the task's loss."""
    return task.loss_of(outputs, labels)


class Distillation:
    """The objective of a network that learns from a teacher: ``(1 - share) L(labels) + share T^2 KL(teacher || it)``.

    L is the task's loss. Both networks' scores are divided by the temperature T before the softmax of the divergence;
    T^2 keeps the size of its gradient. Where an input has several choices of a class (pixels, tokens), the divergence
    is the mean over those whose labels count; 0 where none does.

    Source: Hinton, Vinyals & Dean, Distilling the Knowledge in a Neural Network, 2015, section 2.

    Args:
        teacher: a network with the same outputs, used in eval mode and without gradients.
        temperature: T, above 0.
        share: of the divergence, from 0 to 1; the rest is the labels'.
    """

    def __init__(self, teacher: nn.Module, temperature: float, share: float) -> None:
        self._teacher, self._temperature, self._share = teacher.eval().requires_grad_(False), temperature, share

    def __call__(self, task: OutputTask, inputs: Any, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean over a batch."""
        with torch.no_grad():
            teachers = task.class_scores(task.outputs(self._teacher, inputs))
            expected = functional.log_softmax(teachers.float() / self._temperature, 1)
        log_shares = functional.log_softmax(task.class_scores(outputs).float() / self._temperature, 1)
        ruled_out = expected == -inf  # adds nothing, where a product with its logarithm would be NaN
        expected, log_shares = expected.masked_fill(ruled_out, LOG_OF_ZERO), log_shares.masked_fill(ruled_out, 0)
        counts = task.counts(outputs, labels)
        if counts is None:
            divergence = functional.kl_div(log_shares, expected, reduction="batchmean", log_target=True)
        else:
            each = functional.kl_div(log_shares, expected, reduction="none", log_target=True)
            divergence = each.sum(1).masked_fill(~counts, 0).sum() / counts.sum().clamp(min=1)
        from_teacher = self._share * self._temperature**2 * divergence
        if self._share == 1:
            return from_teacher
        return from_teacher + (1 - self._share) * task.loss_of(outputs, labels)


def objective_of(model: nn.Module, share: float, temperature: float) -> Objective:
    """Distillation from ``model`` as it is now, by a copy; without a ``share``, the task's loss."""
    return Distillation(deepcopy(model), temperature, share) if share else from_labels


def check_classes(share: float, task: Task) -> None:
    """Raise :class:`UserError` where a ``share`` of the outputs is to be learned and they are no scores of classes."""
    if share and not task.has_classes:
        raise UserError(
            f"distillation={share:g} needs scores of classes, which task {task.name!r} has not: give distillation=0"
        )


def check_distillation(share: float, temperature: float) -> None:
    """Raise :class:`UserError` unless the options of those names, of methods that train, can work."""
    require("distillation", share, 0 <= share <= 1, "from 0 (labels alone) to 1 (the float network's outputs alone)")
    require("distillation_temperature", temperature, 0 < temperature < inf, "above 0")


def check_trains(model: nn.Module, data: Data) -> None:
    """Raise :class:`UserError` where the network does not run in training mode, as far as a pass of few inputs tells.

    So for an auxiliary head that needs larger images, and for batch-norm where the last batch holds one input alone.
    """
    if ranks.count() > 1:
        return
    ends_alone, task = ends_with_one(data.train), data.task
    device = next(model.parameters()).device
    some = few(model, first_batch(data.train, device, layout(model)), 1 if ends_alone else 2, task.infer)
    try:
        with left_alone(model, device), torch.no_grad():
            (task.infer if isinstance(task, OutputTask) else task.loss)(model.train(), some)
    except torch.OutOfMemoryError:  # the first step tells of it, by the size of its batch
        return
    except Exception as error:  # whatever the network's, or the task's, own code raises
        if ends_alone and "more than 1 value per channel" in str(error):
            raise UserError(
                "the last training batch holds one input, for which batch-norm has no statistics: give another "
                "batch_size, or drop_last=True"
            ) from error
        raise UserError(
            f"in training mode the network cannot take the inputs of {data.name!r} ({type(error).__name__}: "
            f"{' '.join(str(error).split()):.300})"
        ) from error


def train_epoch(
    model: nn.Module,
    weights: FlatWeights,
    batches: Iterable,
    update: Update,
    precision: str,
    on_step: Callable[[int], None],
    objective: Objective = from_labels,
    task: Task | None = None,
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
        objective: what a step makes small, of a task that reads outputs and labels; other tasks have their own loss.
        task: what the network is to do; classification by default.

    Returns:
        ``train_loss`` (the objective, a sample) and ``training_seconds``; of classification ``train_top1`` (percent).

    Raises:
        UserError: the loss is no longer finite, a batch holds fewer inputs than there are ranks, or needs more memory
            than the device has.
    """
    begin, task = perf_counter(), task or Classification()
    device = weights.values.device
    sums = torch.zeros(3, device=device, dtype=torch.float64)
    model.train()
    for step, batch in enumerate(moved(shard_batches(batches), device, layout(model)), 1):
        update.before(step)
        weights.values.grad.zero_()
        inputs, labels = split(batch)
        outputs, count = None, size(batch)
        samples = count
        with enough_memory(count):
            with autocast(device, precision):
                if isinstance(task, OutputTask):
                    own = inputs if objective is from_labels else copied(inputs)  # a teacher sees them next
                    outputs, labels = task.outputs(model, own), task.labels(inputs, labels)
                    loss = objective(task, inputs, outputs, labels)
                    if ranks.count() > 1 and (counts := task.counts(outputs, labels)) is not None:
                        samples = int(counts.sum())
                else:
                    loss = task.loss(model, batch)
            if not loss.requires_grad:
                if weights.trainable.any():
                    raise UserError(
                        f"the loss of task {task.name!r} has no gradient, so that nothing would be learned: return the "
                        "tensor that the network's outputs lead to, without item() or detach()"
                    )
                loss = loss + 0 * weights.values.sum()  # all of the network is frozen
            loss = ranks.backward(loss, samples, weights.values.grad)
            update.after(loss)
        sums[0] += loss * count
        if isinstance(task, Classification) and outputs is not None:
            sums[1] += (outputs.argmax(1) == labels).sum()
        sums[2] += count
        on_step(step)
    sums = ranks.total(sums)
    loss, correct = (sums[:2] / sums[2]).tolist()
    if not isfinite(loss):
        _refuse_not_finite(batches)
        raise UserError(f"training diverged (loss {loss}): lower learning_rate or alpha, or use precision=float32")
    scores = {"train_top1": 100 * correct} if isinstance(task, Classification) else {}
    return {"train_loss": loss, **scores, "training_seconds": perf_counter() - begin}


@contextmanager
def enough_memory(inputs: int) -> Iterator[None]:
    """A step on so many inputs; raises :class:`UserError`, which names that number, where a device lacks the memory."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        reason = str(error).partition(". ")[0]
        raise UserError(
            f"batch_size={inputs} needs more memory than the device has ({reason}): give a smaller batch_size"
        ) from error


def _refuse_not_finite(batches: Iterable) -> None:
    """Raise :class:`UserError` where training diverged because inputs or labels are not finite."""
    for number, batch in enumerate(batches, 1):
        if not all(torch.isfinite(tensor.to_dense()).all() for tensor in tensors(batch) if tensor.is_floating_point()):
            raise UserError(f"training diverged, for its batch {number} holds NaN or infinity: clean the training data")
