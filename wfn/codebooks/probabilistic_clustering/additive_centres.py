"""The values on offer: zero, and sums of few powers of two of one sign."""

import numpy as np


def centres_of_order(order: int, largest: float, threshold: float) -> np.ndarray:
    """All sums of ``order`` draws, with replacement, from zero and some powers of two, and their negatives.

    The powers are ``threshold``, twice that, and so on up to the last one below ``largest``. Only sums are built, no
    differences, and none of greater magnitude than ``largest``.

    Args:
        order: k, at least 1.
        largest: magnitude that no centre exceeds, 0 or more.
        threshold: the smallest power of two.

    Returns:
        float64 [c], ascending, each the nearest float32 of a sum; odd in number, zero in the middle.
    """
    last = np.ceil(np.log2(largest)) - 1 if largest > 0 else -np.inf
    first = np.log2(threshold)
    powers = np.exp2(np.arange(first, last + 1)) if last >= first else np.empty(0)
    terms = np.concatenate(([0.0], powers))
    sums = np.zeros(1)
    for _ in range(order):
        sums = np.unique(sums[:, None] + terms)
        sums = sums[sums <= largest]
    sums = np.unique(sums.astype(np.float32)).astype(np.float64)
    return np.concatenate((-sums[:0:-1], sums))
