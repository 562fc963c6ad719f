"""What methods share that train latent weights straight through: settings, and one network on its way."""

from abc import abstractmethod
from collections.abc import Mapping
from math import inf
from typing import Protocol, TypeVar

from torch import Tensor, nn

from wfn.data.dataset import Data
from wfn.errors import require
from wfn.interface import Observe
from wfn.methods._layers import layers_of_weights
from wfn.methods._teacher import check_teaching
from wfn.networks.forward_pass import ForwardPass
from wfn.training.checkpoint import Checkpoint
from wfn.training.epoch import Objective
from wfn.training.flat_weights import traced
from wfn.training.layer_scales import fold_scales
from wfn.training.stages import StagedMethod, StagedTraining, check_stage_settings
from wfn.training.updates.straight_through import Descent, Quantiser, StraightThrough


class StraightThroughMethod(StagedMethod, Protocol):
    """What these methods have in common, as :class:`wfn.methods._teacher.Taught`; what is an option, they say."""

    @property
    def cosine(self) -> bool: ...
    @property
    def momentum(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    def objective(self, model: nn.Module, data: Data) -> Objective: ...


M = TypeVar("M", bound=StraightThroughMethod)


def check_training_settings(method: StraightThroughMethod) -> None:
    """Raise :class:`UserError` for a setting, of those that these methods share, that cannot work."""
    check_teaching(method)
    check_stage_settings(method)
    require("momentum", method.momentum, 0 <= method.momentum < 1, "from 0 to below 1")
    require("weight_decay", method.weight_decay, 0 <= method.weight_decay < inf, "0 or more")


class StraightThroughTraining(StagedTraining[M]):
    """One network on its way: quantised from the first step on, trained stage by stage.

    Attributes:
        straight_through: the update.

    Args:
        fold: standard deviation that layers are scaled to first (:func:`wfn.training.layer_scales.fold_scales`).
        fold_sensitivity: as there.
        averaged_share: as in :class:`wfn.training.updates.straight_through.Descent`.
    """

    def __init__(
        self,
        method: M,
        model: nn.Module,
        data: Data,
        observe: Observe,
        checkpoint: Checkpoint | None,
        fold: float = 0.0,
        fold_sensitivity: float = 0.0,
        averaged_share: float = 0.0,
    ) -> None:
        objective = method.objective(model, data)
        fold_scales(model, data, fold, fold_sensitivity)
        super().__init__(method, model, data, observe, checkpoint)
        self.objective = objective
        descent = Descent(
            method.learning_rate,
            method.momentum,
            method.weight_decay,
            steps=max(method.iterations * method.epochs * len(data.train), 1),
            cosine=method.cosine,
            averaged_share=averaged_share,
        )
        self.straight_through = StraightThrough(self.weights, self.quantiser(), descent)
        self.update = self.straight_through

    @abstractmethod
    def quantiser(self) -> Quantiser:
        """What quantises ``weights.values`` as they are now, the latent weights' start."""

    def iterate(self) -> dict[str, float]:
        """Train."""
        self.train(self.straight_through)
        return {"share_fixed": 1.0, "centres": self.weights.values.data.unique().numel()}

    def state_dict(self) -> dict[str, Tensor]:
        """The values that the network computes with; all else is the update's, or a buffer of the network."""
        return {"values": self.weights.values}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave."""
        self.weights.values.data.copy_(state["values"])

    def forward_pass(self) -> ForwardPass:
        """What an inference does with the network's parameters."""
        return traced(self.model, self.data)

    def layers(self) -> dict[str, list[nn.Module]]:
        """Name of a counted weight -> its layers (:func:`wfn.methods._layers.layers_of_weights`)."""
        return layers_of_weights(self.model, self.weights)
