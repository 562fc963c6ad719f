"""Quantisers as their papers write them: every choice tried for every number, in float64."""

import numpy as np


def cheapest(number, lengths, rate, lowest):
    """The least cost ``(number - k)^2 + rate * length`` over all levels k, the first of which is ``lowest``."""
    return min((number - k) ** 2 + rate * length for k, length in enumerate(lengths, lowest))


def lengths_of(counts):
    """Bits of each symbol under the shares of ``counts``, each raised by one."""
    total = sum(counts) + len(counts)
    return [-np.log2((count + 1) / total) for count in counts]
