"""One epoch of training, and evaluation: what every method has in common."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import isfinite
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn import functional

from wfn.data.division import parts, share
from wfn.errors import UserError
from wfn.parameters import FlatWeights
from wfn.system import ranks
from wfn.system.precision import autocast


@dataclass(frozen=True)
class Score:
    """How well a network does: ``top1`` and ``top5`` in percent, ``loss`` as mean cross-entropy in nats."""

    top1: float
    top5: float
    loss: float


def evaluate(
    model: nn.Module,
    batches: Iterable,
    device: torch.device,
    precision: str = "float32",
    observe: Callable[[Tensor, Tensor], object] | None = None,
) -> Score:
    """Score ``model`` in eval mode on ``batches`` of (inputs, labels); with under five classes top5 counts them all.

    Where several ranks train together (:mod:`wfn.system.ranks`), each takes its share of the batches, and every one gets
    the score of all.

    Args:
        model: the network.
        batches: of (inputs, labels).
        device: where to compute.
        precision: of the forward passes, one of ``PRECISIONS``.
        observe: told of each batch of this rank: outputs, float32 [b, classes], and labels [b].
    """
    was_training = model.training
    model.eval()
    sums = torch.zeros(4, dtype=torch.float64, device=device)
    with torch.no_grad():
        for inputs, labels in on_device(share(batches), device):
            with autocast(device, precision):
                outputs = model(inputs).float()
            ranked = outputs.topk(min(5, outputs.shape[1])).indices == labels[:, None]
            sums[0] += ranked[:, 0].sum()
            sums[1] += ranked.sum()
            sums[2] += functional.cross_entropy(outputs, labels, reduction="sum")
            sums[3] += len(labels)
            if observe:
                observe(outputs, labels)
    model.train(was_training)
    sums = ranks.total(sums)
    top1, top5, loss = (sums[:3] / sums[3]).tolist()
    return Score(100 * top1, 100 * top5, loss)


def check_outputs(model: nn.Module, example: Tensor, classes: int) -> None:
    """Raise :class:`UserError` unless ``model`` gives a score for each of ``classes`` for an ``example`` [1, ...]."""
    was_training = model.training
    with torch.no_grad():
        outputs = model.eval()(example)
    model.train(was_training)
    shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    if not isinstance(outputs, Tensor) or outputs.dim() != 2 or outputs.shape[1] < classes:
        raise UserError(
            f"the network must give {classes} scores an input for labels 0..{classes - 1}, but gives {shape}"
        )


def train_epoch(
    model: nn.Module,
    weights: FlatWeights,
    batches: Iterable,
    update: Callable[[Tensor], None],
    precision: str,
    on_step: Callable[[int], None],
) -> dict[str, float]:
    """Train on one pass over ``batches``; what a step does with the gradients is ``update``'s to say.

    Where several ranks train together (:mod:`wfn.system.ranks`), each computes on its part of every batch; loss and
    gradients are those of the whole batch on all of them, and so are the scores.

    Args:
        weights: the weights of ``model``.
        update: called with the cross-entropy (a scalar) once its gradients are in ``weights.values.grad``; changes
            ``weights.values``.
        precision: of the forward passes, one of ``PRECISIONS``.
        on_step: called with the number of each step done, 1, 2, ...

    Returns:
        ``train_loss`` (nats a sample), ``train_top1`` (percent) and ``training_seconds``.

    Raises:
        UserError: the loss is no longer finite, or a batch holds fewer inputs than there are ranks.
    """
    begin = perf_counter()
    device = weights.values.device
    sums = torch.zeros(3, device=device, dtype=torch.float64)
    model.train()
    for step, (inputs, labels) in enumerate(on_device(parts(batches), device), 1):
        weights.values.grad.zero_()
        with autocast(device, precision):
            outputs = model(inputs)
            loss = functional.cross_entropy(outputs, labels)
        loss = ranks.backward(loss, len(labels), weights.values.grad)
        update(loss)
        sums[0] += loss * len(labels)
        sums[1] += (outputs.argmax(1) == labels).sum()
        sums[2] += len(labels)
        on_step(step)
    sums = ranks.total(sums)
    loss, correct = (sums[:2] / sums[2]).tolist()
    if not isfinite(loss):
        raise UserError(f"training diverged (loss {loss}): lower learning_rate or alpha, or use precision=float32")
    return {"train_loss": loss, "train_top1": 100 * correct, "training_seconds": perf_counter() - begin}


def to_device(inputs: Tensor, device: torch.device) -> Tensor:
    """Inputs on the device, images in channels-last order."""
    layout = torch.channels_last if inputs.dim() == 4 else torch.preserve_format
    return inputs.to(device, memory_format=layout)


def on_device(batches: Iterable, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of (inputs, labels) as :func:`to_device` and ``Tensor.to`` bring them there."""
    return ((to_device(inputs, device), labels.to(device)) for inputs, labels in batches)
