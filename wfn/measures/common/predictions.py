"""What a network gives for each labelled input of a pass: what measures on outputs read."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import inf

import numpy as np
import torch
from torch import Tensor, nn

from wfn.data.passes import gathered_pass, on_device, shard_pass
from wfn.errors import UserError
from wfn.networks.own.layout import layout
from wfn.system.torch_context import autocast
from wfn.tasks.batches import call, main_output


@dataclass(frozen=True)
class Predictions:
    """The scores of a pass.

    Attributes:
        batches: of (scores, float32 [b, classes], before any softmax; labels, int64 [b]), on the CPU.
    """

    batches: tuple[tuple[Tensor, Tensor], ...]

    @cached_property
    def scores(self) -> Tensor:
        """float32 [n, classes]."""
        return torch.cat([scores for scores, _ in self.batches])

    @cached_property
    def labels(self) -> Tensor:
        """int64 [n]."""
        return torch.cat([labels for _, labels in self.batches])

    @property
    def correct(self) -> np.ndarray:
        """bool [n], whether the top-1 class is the label; of equal scores the class that ``topk`` puts first."""
        return (self.scores.topk(1).indices[:, 0] == self.labels).numpy()


@torch.no_grad()
def predict(model: nn.Module, batches: Iterable, device: torch.device, precision: str = "float32") -> Predictions:
    """Pass ``batches`` of (inputs, labels) through ``model`` in eval mode.

    Where several ranks train together (:mod:`wfn.system.ranks`), each takes its share of the batches, and every one
    gets the predictions of all, in the order of one pass.

    Raises:
        UserError: a score is NaN or infinity; of minus infinity a softmax makes 0.
    """
    was_training = model.training
    model.eval()
    own: list[tuple[Tensor, Tensor]] = []
    for inputs, labels in on_device(shard_pass(batches), device, layout(model)):
        with autocast(device, precision):
            scores = main_output(call(model, inputs)).float()
        own.append((scores.cpu(), labels.cpu()))
    model.train(was_training)
    batches = gathered_pass(own)
    if not all(bool((scores < inf).all()) for scores, _ in batches):  # the softmax of either is NaN
        raise UserError("the network's outputs hold NaN or infinity: check its weights, the inputs and their scale")
    return Predictions(batches)
