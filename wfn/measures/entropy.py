"""Shannon's entropy: the bound that no code of single weights goes below.

Differs: the paper prints the entropy without the zero weights; ``entropy_bits`` has them, ``entropy_nonzero_bits`` is
comparable with the published numbers.
"""

from collections import Counter
from collections.abc import Mapping
from math import log2

import numpy as np

from wfn.measures.common.distinct import frequencies as frequencies_of
from wfn.measures.common.kinds import Block, Quantity, Values, WeightMeasure
from wfn.networks.forward_pass import ForwardPass


class Entropy(WeightMeasure):
    """Shannon's entropy of the weights, bits a weight: of all, and as the paper prints it, without the zeros."""

    quantities = (
        Quantity("entropy_bits", "entropy (bits a weight)", meaning="what an ideal code of the values takes"),
        Quantity("entropy_nonzero_bits", "  zeros left out", meaning="as the paper prints it"),
        Quantity("entropy_nonzero_bits_no_bn_fl", "  and batch-norm, first, last layer"),
    )
    every_iteration = True

    def __init__(self, forward_pass: ForwardPass) -> None:
        super().__init__(forward_pass)
        self._frequencies: Counter[int | float] = Counter()
        self._inner_nonzero: Counter[int | float] = Counter()
        self._zeros = 0

    def update(self, block: Block) -> None:
        """Take a block of distinct values."""
        self._frequencies.update(block.frequencies)
        self._zeros += block.zeros
        self._inner_nonzero.update(frequencies_of(block.inner_counts[block.distinct.values != 0]))

    def compute(self, weights: Mapping[str, np.ndarray]) -> Values:
        """The three entropies."""
        without_zeros = self._frequencies - Counter([self._zeros] if self._zeros else [])
        return {
            "entropy_bits": entropy_bits(self._frequencies),
            "entropy_nonzero_bits": entropy_bits(without_zeros),
            "entropy_nonzero_bits_no_bn_fl": entropy_bits(self._inner_nonzero),
        }


def entropy_bits(frequencies: Mapping[int | float, int]) -> float:
    """H = -sum_v p_v log2 p_v with p_v = count_v / sum of the counts, in bits a weight.

    The paper prints it without the zero weights: leave that value out of ``frequencies`` for it.

    Args:
        frequencies: count -> how many values have it, from :func:`wfn.measures.common.distinct.frequencies`. None at
            all (all weights are zero and left out) has entropy 0.
    """
    total = sum(count * values for count, values in frequencies.items())
    return sum(values * count / total * log2(total / count) for count, values in frequencies.items())
