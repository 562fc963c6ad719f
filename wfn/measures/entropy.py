"""Shannon's entropy: the bound that no code of single weights goes below."""

from collections.abc import Mapping
from math import log2


def entropy_bits(frequencies: Mapping[int | float, int]) -> float:
    """H = -sum_v p_v log2 p_v with p_v = count_v / sum of the counts, in bits a weight.

    The paper prints it without the zero weights: leave that value out of ``frequencies`` for it.

    Args:
        frequencies: count -> how many values have it, from :func:`wfn.measures.distinct.frequencies`. None at all (all
            weights are zero and left out) has entropy 0.
    """
    total = sum(count * values for count, values in frequencies.items())
    return sum(values * count / total * log2(total / count) for count, values in frequencies.items())
