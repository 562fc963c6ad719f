"""How many weights there are, how many are zero, and how many values they take."""

from collections.abc import Mapping

import numpy as np

from wfn.measures.common.kinds import Block, Quantity, Values, WeightMeasure
from wfn.networks.forward_pass import ForwardPass


class UniqueValues(WeightMeasure):
    """Distinct values among all counted weights, as the paper's Table 2 counts them; -0.0 and 0.0 are one."""

    quantities = (
        Quantity("unique_params", "unique values", "{:,}", meaning="distinct values among all counted weights"),
        Quantity("unique_params_no_bn_fl", "  without batch-norm, first, last layer", "{:,}"),
        Quantity("unique_params_conv_linear", "  of convolutions and linear layers", "{:,}"),
        Quantity("zeros", "zeros", "{:,}", "neither", meaning="a shared value as any other"),
        Quantity("weights", "counted weights", "{:,}", "neither", summary=False),
    )
    every_iteration = True

    def __init__(self, forward_pass: ForwardPass) -> None:
        super().__init__(forward_pass)
        self._values = self._inner_values = self._product_values = self._zeros = self._weights = 0

    def update(self, block: Block) -> None:
        """Take a block of distinct values."""
        self._values += len(block.distinct.values)
        self._inner_values += int(np.count_nonzero(block.inner_counts))
        self._product_values += int(np.count_nonzero(block.product_counts))
        self._zeros += block.zeros
        self._weights += int(block.distinct.counts.sum())

    def compute(self, weights: Mapping[str, np.ndarray]) -> Values:
        """Counts, all of them whole numbers."""
        return {
            "unique_params": self._values,
            "unique_params_no_bn_fl": self._inner_values,
            "unique_params_conv_linear": self._product_values,
            "zeros": self._zeros,
            "weights": self._weights,
        }
