"""A deep ensemble of float networks, as a method: what the uncertainty of others is held against."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from wfn.data import Data
from wfn.errors import UserError, require
from wfn.interface import Observe, Quantised, Treatment
from wfn.methods import Method
from wfn.methods._method import random_state_kept
from wfn.system import ranks
from wfn.tasks.classification import Classification
from wfn.training.baseline import trained_baseline
from wfn.training.epoch import check_trains
from wfn.training.flat_weights import counted_weights


@dataclass(frozen=True)
class DeepEnsemble(Method):
    """Several float networks that differ in their beginnings (Lakshminarayanan, Pritzel & Blundell, NeurIPS 2017).

    The network that is given is the first, and what weights are counted are its own. The others are copies whose layers
    draw their weights anew and that are trained on the same images by the recipe of baselines, once, and kept. Nothing
    is compressed: the measures named ``sampled`` are those of the mean of the networks' probabilities.

    Differs: without the adversarial examples of the original. Layers draw by torch's rules, whatever the network's own
    are, and all of their weights, pruned ones too; a parameter that belongs to no layer which can draw begins where the
    given network has it.

    Attributes:
        members: how many networks there are.
        baseline_epochs: epochs of training of each further network; 0 takes the recipe's.
        seed: settles everything random.
    """

    name: ClassVar[str] = "ensemble"
    title: ClassVar[str] = "Deep ensemble"
    row_order: ClassVar[int] = 3
    named: ClassVar[tuple[str, ...]] = ("members",)

    members: int = 5
    baseline_epochs: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a setting that cannot work."""
        require("members", self.members, 2 <= self.members <= 1000, "from 2 to 1,000, each trained from nothing")
        require("baseline_epochs", self.baseline_epochs, self.baseline_epochs >= 0, "0 or more")
        require("seed", self.seed, self.seed >= 0, "0 or more")

    @property
    def label(self) -> str:
        """What it is, and that it is no compressed network."""
        return f"{self.title} of {self.members} (float)"

    @property
    def samples(self) -> int:
        """All of them."""
        return self.members

    @property
    def networks_trained(self) -> int:
        """All but the one that is given."""
        return self.members - 1

    @property
    def trains(self) -> bool:
        """The further networks."""
        return True

    @property
    def compresses(self) -> bool:
        """No: it is a reference of uncertainty."""
        return False

    @property
    def treatment(self) -> Treatment:
        """Nothing is changed."""
        return Treatment("float", "float")

    def _compress(self, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Give ``model`` back, with the others beside it; each of these is kept, so ``checkpoint`` is not needed.

        Raises:
            UserError: the task is not classification, or the network does not fit the data, has no layer that can draw
                its weights, or cannot be trained.
        """
        if not isinstance(data.task, Classification):
            raise UserError(
                f"an ensemble's networks are trained for classification alone, not for task {data.task.name!r}: choose "
                "another method"
            )
        check_trains(model, data)
        weights = counted_weights(model, data)
        weights.release()
        others = [self._trained(model, data, number) for number in range(1, self.members)]

        def networks() -> Iterator[nn.Module]:
            yield from (model.eval(), *others)

        return Quantised(model.eval(), weights.named(), scores={"samples": self.members}, networks=networks)

    def _trained(self, model: nn.Module, data: Data, number: int) -> nn.Module:
        seed = int(np.random.SeedSequence((self.seed, number)).generate_state(1)[0])
        device = next(model.parameters()).device
        other = copy.deepcopy(model)
        draw_anew(other, seed)
        ranks.from_first(
            lambda: trained_baseline(other, "ensemble", data, seed=seed, device=device, epochs=self.baseline_epochs)
        )
        ranks.spread(other.state_dict().values())
        return other.eval()


def draw_anew(model: nn.Module, seed: int) -> None:
    """Let every layer draw its weights anew, by its own rule; torch's random state is afterwards what it was.

    Raises:
        UserError: no layer can.
    """
    layers = [layer for layer in model.modules() if callable(getattr(layer, "reset_parameters", None))]
    if not any(True for layer in layers for _ in layer.parameters(recurse=False)):
        raise UserError(
            "an ensemble needs layers that draw their weights anew (reset_parameters), but the network has none: "
            "choose a network of torch's layers"
        )
    with random_state_kept(model):
        torch.manual_seed(seed)
        for layer in layers:
            layer.reset_parameters()
