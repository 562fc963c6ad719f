"""The float network itself, as a method: what every other is held against."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import nn

from wfn.data import as_data
from wfn.interface import Observe, Quantised, ignore
from wfn.training.flat_weights import counted_weights


@dataclass(frozen=True)
class FloatNetwork:
    """Leaves every weight as it is."""

    iterations: ClassVar[int] = 0

    def compress(
        self, model: nn.Module, data: object, observe: Observe = ignore, checkpoint: Path | None = None
    ) -> Quantised:
        """Give ``model`` back, with its weights; nothing is told, and ``checkpoint`` is not needed.

        Raises:
            UserError: the network does not fit the data, or its weights are not finite float32.
        """
        weights = counted_weights(model, as_data(data))
        weights.release()
        return Quantised(model.eval(), weights.named())
