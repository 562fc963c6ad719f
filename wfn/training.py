"""One epoch of training, and evaluation: what every method has in common."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn import functional

from wfn.errors import UserError
from wfn.parameters import FlatWeights

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Score:
    """How well a network does: ``top1`` and ``top5`` in percent, ``loss`` as mean cross-entropy in nats."""

    top1: float
    top5: float
    loss: float


def evaluate(model: nn.Module, batches: Iterable, device: torch.device, precision: str = "float32") -> Score:
    """Score ``model`` in eval mode on ``batches`` of (inputs, labels); with under five classes top5 counts them all."""
    was_training = model.training
    model.eval()
    sums, samples = torch.zeros(3, dtype=torch.float64, device=device), 0
    with torch.no_grad():
        for batch in batches:
            inputs, labels = to_device(batch[0], device), batch[1].to(device)
            with autocast(device, precision):
                outputs = model(inputs).float()
            ranked = outputs.topk(min(5, outputs.shape[1])).indices == labels[:, None]
            sums[0] += ranked[:, 0].sum()
            sums[1] += ranked.sum()
            sums[2] += functional.cross_entropy(outputs, labels, reduction="sum")
            samples += len(labels)
    model.train(was_training)
    top1, top5, loss = (sums / samples).tolist()
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

    Args:
        weights: the weights of ``model``.
        update: called with the cross-entropy (a scalar) once its gradients are in ``weights.values.grad``; changes
            ``weights.values``.
        precision: of the forward passes, one of ``PRECISIONS``.
        on_step: called with the number of each step done, 1, 2, ...

    Returns:
        ``train_loss`` (nats a sample), ``train_top1`` (percent) and ``training_seconds``.

    Raises:
        UserError: the loss is no longer finite.
    """
    begin = perf_counter()
    device = weights.values.device
    sums, samples = torch.zeros(2, device=device, dtype=torch.float64), 0
    model.train()
    for step, batch in enumerate(batches, 1):
        inputs, labels = to_device(batch[0], device), batch[1].to(device)
        weights.values.grad.zero_()
        with autocast(device, precision):
            outputs = model(inputs)
            loss = functional.cross_entropy(outputs, labels)
        loss.backward()
        loss = loss.detach()
        update(loss)
        sums[0] += loss * len(labels)
        sums[1] += (outputs.argmax(1) == labels).sum()
        samples += len(labels)
        on_step(step)
    loss, correct = (sums / samples).tolist()
    if not isfinite(loss):
        raise UserError(f"training diverged (loss {loss}): lower learning_rate or alpha, or use precision=float32")
    return {"train_loss": loss, "train_top1": 100 * correct, "training_seconds": perf_counter() - begin}


def to_device(inputs: Tensor, device: torch.device) -> Tensor:
    """Inputs on the device, images in channels-last order."""
    layout = torch.channels_last if inputs.dim() == 4 else torch.preserve_format
    return inputs.to(device, memory_format=layout)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which a forward pass runs at one of ``PRECISIONS``."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
