"""One epoch of training: what every method has in common."""

from collections.abc import Callable, Iterable
from math import isfinite
from time import perf_counter

import torch
from torch import nn
from torch.nn import functional

from wfn.data.passes import on_device, shard_batches
from wfn.errors import UserError
from wfn.system import ranks
from wfn.system.precision import autocast
from wfn.training.flat_weights import FlatWeights
from wfn.training.updates import Update


def train_epoch(
    model: nn.Module,
    weights: FlatWeights,
    batches: Iterable,
    update: Update,
    precision: str,
    on_step: Callable[[int], None],
) -> dict[str, float]:
    """Train on one pass over ``batches``; what a step does is ``update``'s to say.

    Where several ranks train together (:mod:`wfn.system.ranks`), each computes on its part of every batch; loss and
    gradients are those of the whole batch on all of them, and so are the scores.

    Args:
        weights: the weights of ``model``.
        update: told before each step, and after it with the cross-entropy (a scalar), whose gradients are then in
            ``weights.values.grad``; changes ``weights.values``.
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
    for step, (inputs, labels) in enumerate(on_device(shard_batches(batches), device), 1):
        update.before(step)
        weights.values.grad.zero_()
        with autocast(device, precision):
            outputs = model(inputs)
            loss = functional.cross_entropy(outputs, labels)
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
