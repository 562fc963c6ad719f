"""Rounding to powers of two, without any training."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from wfn.codebooks.powers_of_two import round_to_powers_of_two
from wfn.data import Data
from wfn.errors import require
from wfn.interface import Observe, Quantised, Treatment
from wfn.methods import Method
from wfn.training.flat_weights import counted_weights
from wfn.training.layer_scales import check_fold, fold_scales


@dataclass(frozen=True)
class PowerOfTwoRounding(Method):
    """Every weight becomes the power of two, of its sign, that is nearest in the log domain: ``2^round(log2 |w|)``.

    First layer, last layer, batch-norm and biases are rounded as all others are.

    Attributes:
        threshold: weights of lesser magnitude become zero.
        fold: standard deviation that the weights of each layer before a batch-norm are scaled to first, the scale
            folded into the batch-norm's statistics; 0 leaves scales as they are.
    """

    name: ClassVar[str] = "rounding"
    title: ClassVar[str] = "Nearest power of two"
    row_order: ClassVar[int] = 10

    threshold: float = 2.0**-7
    fold: float = 0.0

    def __post_init__(self) -> None:
        """Raise :class:`UserError` for a setting that cannot work."""
        require("threshold", self.threshold, 1e-30 <= self.threshold <= 1e8, "from 1e-30 to 1e8")
        check_fold(self.fold)

    @property
    def treatment(self) -> Treatment:
        """All are rounded alike."""
        return Treatment("powers of two", "powers of two")

    def _compress(self, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Round every counted weight of ``model``, in place; nothing is told, and ``checkpoint`` is not needed.

        Raises:
            UserError: the network does not fit the data, its weights are not finite float32, or no scale can be folded.
        """
        fold_scales(model, data, self.fold)
        weights = counted_weights(model, data)
        weights.values.data.copy_(torch.from_numpy(self._rounded(weights.values.data.cpu().numpy())))
        weights.release()
        return Quantised(model.eval(), weights.named())

    def _rounded(self, values: np.ndarray) -> np.ndarray:
        kept = np.abs(values) >= self.threshold
        magnitudes = np.abs(values[kept]).astype(np.float64)
        rounded = np.zeros_like(values)
        powers = round_to_powers_of_two(magnitudes, order=1, delta=1.0, threshold=self.threshold)
        rounded[kept] = np.copysign(powers, values[kept])
        return rounded
