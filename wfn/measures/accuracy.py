"""Accuracy and loss on labelled data, over one pass."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from wfn.data.passes import on_device, shard_pass
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
        for inputs, labels in on_device(shard_pass(batches), device):
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
