"""Monte-Carlo dropout of the float network, as a method: what the uncertainty of others is held against."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from wfn.data import Data
from wfn.errors import UserError, require
from wfn.interface import Observe, Quantised, Treatment
from wfn.methods import Method
from wfn.methods._method import random_state_kept
from wfn.networks.forward_pass import unfused_attention
from wfn.training.flat_weights import counted_weights


@dataclass(frozen=True)
class MonteCarloDropout(Method):
    """The float network with its dropout left on, several times (Gal & Ghahramani, ICML 2016).

    Nothing is compressed: the measures named ``sampled`` are those of the mean of the probabilities over ``samples``
    passes, each with other units dropped. The network must have been trained with dropout layers, as
    ``small_resnet_dropout`` is.

    Attributes:
        samples: how many passes are averaged.
        seed: settles which units are dropped.
    """

    name: ClassVar[str] = "mc_dropout"
    title: ClassVar[str] = "MC-dropout"
    row_order: ClassVar[int] = 2

    samples: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a setting that cannot work."""
        require("samples", self.samples, 1 <= self.samples <= 10_000, "from 1 to 10,000, each a pass over all images")
        require("seed", self.seed, self.seed >= 0, "0 or more")

    @property
    def label(self) -> str:
        """What it is, and that it is no compressed network."""
        return f"{self.title} (float)"

    @property
    def compresses(self) -> bool:
        """No: it is a reference of uncertainty."""
        return False

    @property
    def treatment(self) -> Treatment:
        """Nothing is changed."""
        return Treatment("float", "float")

    def _compress(self, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Give ``model`` back, with what draws its units; nothing is told, and ``checkpoint`` is not needed.

        Raises:
            UserError: the network has no dropout layer, or does not fit the data.
        """
        if not dropouts(model):
            raise UserError(
                "mc_dropout needs a network with dropout layers (torch.nn.Dropout with p above 0), but this one has "
                "none: choose model=small_resnet_dropout, or a network of your own that has"
            )
        weights = counted_weights(model, data)
        weights.release()
        return Quantised(
            model.eval(),
            weights.named(),
            scores={"samples": self.samples},
            networks=lambda: with_dropout(model, self.samples, self.seed),
        )


def dropouts(model: nn.Module) -> list[nn.Module]:
    """The layers that drop units in training."""
    return [layer for layer in model.modules() if isinstance(layer, _DropoutNd) and layer.p > 0]


def with_dropout(model: nn.Module, samples: int, seed: int) -> Iterator[nn.Module]:
    """``model`` itself, ``samples`` times, its dropout on in whatever mode; what is dropped is the same in each call.

    Afterwards it is in evaluation mode, and its dropout off.
    """
    hooks = [layer.register_forward_pre_hook(_switch_on) for layer in dropouts(model)]
    model.eval()
    try:
        with unfused_attention():  # the fused one leaves dropout out in evaluation
            for sample in range(samples):
                with random_state_kept(model):
                    torch.manual_seed(seed * samples + sample)
                    yield model
    finally:
        for hook in hooks:
            hook.remove()
        model.eval()


def _switch_on(layer: nn.Module, inputs: object) -> None:
    layer.train(True)
