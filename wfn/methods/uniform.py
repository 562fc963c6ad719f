"""Rounding to a uniform grid, without any training."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from wfn.codebooks.uniform_grid import round_to_grid
from wfn.data import Data
from wfn.errors import require
from wfn.interface import Observe, Quantised, Treatment
from wfn.methods import Method
from wfn.training.batch_norm import reestimate_statistics, synchronised_batch_norm
from wfn.training.epoch import check_trains
from wfn.training.flat_weights import counted_weights
from wfn.training.layer_scales import check_fold, fold_scales
from wfn.training.stages import seed_epoch


@dataclass(frozen=True)
class UniformRounding(Method):
    """Every weight becomes the nearest multiple of one step: ``step * round(w / step)``.

    Before an entropy code no scalar quantiser has less squared error at high rate (Gish & Pierce, Asymptotically
    Efficient Quantizing, IEEE Transactions on Information Theory, 1968).

    Differs: first layer, last layer, batch-norm and biases are rounded as all others are, to the same grid.

    Attributes:
        step: distance between neighbouring values.
        fold: standard deviation that the weights of each layer before a batch-norm are scaled to first, the scale
            folded into the batch-norm's statistics; 0 leaves scales as they are.
        fold_sensitivity: how far the deviations of ``fold`` follow the layers' sensitivities, from 0, all alike, to 1
            (:func:`wfn.training.layer_scales.fold_scales`).
        reestimate: take batch-norm's running statistics anew at the end, over one pass of training images.
        seed: settles how training images are augmented in that pass.
    """

    name: ClassVar[str] = "uniform"
    title: ClassVar[str] = "Uniform grid"
    row_order: ClassVar[int] = 12
    named: ClassVar[tuple[str, ...]] = ("step",)
    switched_on: ClassVar[dict[str, str]] = {"reestimate": "statistics re-estimated"}

    step: float = 2.0**-6.5
    fold: float = 0.0
    fold_sensitivity: float = 0.0
    reestimate: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a setting that cannot work."""
        require("step", self.step, 1e-30 <= self.step <= 1e8, "from 1e-30 to 1e8")
        check_fold(self.fold, self.fold_sensitivity)
        require("seed", self.seed, self.seed >= 0, "0 or more")

    @property
    def label(self) -> str:
        """The method with its step."""
        return f"{self.title}, step {self.step:.4g}"

    @property
    def treatment(self) -> Treatment:
        """All are rounded alike."""
        return Treatment("uniform grid", "uniform grid")

    def _compress(self, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Round every counted weight of ``model``, in place; nothing is told, and ``checkpoint`` is not needed.

        Raises:
            UserError: the network does not fit the data, its weights are not finite float32, or no scale can be folded.
        """
        if self.reestimate:
            check_trains(model, data)
        fold_scales(model, data, self.fold, self.fold_sensitivity)
        weights = counted_weights(model, data)
        weights.values.data.copy_(torch.from_numpy(round_to_grid(weights.values.data.cpu().numpy(), self.step)))
        weights.release()
        if self.reestimate:
            device = weights.values.device
            with synchronised_batch_norm(model):
                seed_epoch(self.seed, 1, 0, data.train)
                reestimate_statistics(model, data, device)
        return Quantised(model.eval(), weights.named())
