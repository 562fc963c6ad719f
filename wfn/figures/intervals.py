"""Means with their 95 % intervals, as every figure shows them."""

from collections.abc import Sequence
from statistics import fmean, stdev

CONFIDENCE = 0.95


def mean_and_half_interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and half of its 95 % interval by Student's t; 0 for a single value, which tells of no spread.

    Raises:
        ValueError: there is no value.
    """
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    n = len(values)
    if n == 1:
        return float(values[0]), 0.0
    return fmean(values), float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * stdev(values) / n**0.5
