"""The float network itself, as a method: what every other is held against."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import nn

from wfn.data import Data
from wfn.interface import Observe, Quantised, Treatment
from wfn.methods import Method
from wfn.training.flat_weights import counted_weights


@dataclass(frozen=True)
class FloatNetwork(Method):
    """Leaves every weight as it is."""

    name: ClassVar[str] = "float"
    title: ClassVar[str] = "Baseline"
    row_order: ClassVar[int] = 0

    @property
    def compresses(self) -> bool:
        """No: weights stay as they are."""
        return False

    @property
    def treatment(self) -> Treatment:
        """Nothing is changed."""
        return Treatment("float", "float")

    def _compress(self, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Give ``model`` back, with its weights; nothing is told, and ``checkpoint`` is not needed.

        Raises:
            UserError: the network does not fit the data, or its weights are not finite float32.
        """
        weights = counted_weights(model, data)
        weights.release()
        return Quantised(model.eval(), weights.named())
