"""Shannon's entropy of each tensor by itself: the bound of a code that has a model for every tensor."""

from collections.abc import Mapping

import numpy as np

from wfn.measures.common.distinct import sum_n_log_n
from wfn.measures.common.kinds import Block, Quantity, Values, WeightMeasure
from wfn.networks.forward_pass import ForwardPass


class EntropyOfTensors(WeightMeasure):
    """Mean of the entropies of the single parameters, weighted by their size, bits a weight.

    Never above the entropy of the whole network. Codebooks of single layers are far below it; the models that such a
    code needs are not in it, nor are they in the other one.
    """

    quantities = (
        Quantity(
            "entropy_bits_per_tensor",
            "  of each tensor, mean by size",
            meaning="what a code with a table for each tensor takes",
        ),
    )
    every_iteration = True

    def __init__(self, forward_pass: ForwardPass) -> None:
        super().__init__(forward_pass)
        self._sum = 0.0  # of n log2 n over the values of all tensors

    def update(self, block: Block) -> None:
        """Take a block of distinct values."""
        self._sum += sum_n_log_n(block.distinct.occurrences)

    def compute(self, weights: Mapping[str, np.ndarray]) -> Values:
        """The mean: (sum_t n_t log2 n_t - sum_t,v n_tv log2 n_tv) / n, of tensors t and their values v."""
        sizes = np.array([array.size for array in weights.values()])
        return {"entropy_bits_per_tensor": (sum_n_log_n(sizes) - self._sum) / int(sizes.sum())}
