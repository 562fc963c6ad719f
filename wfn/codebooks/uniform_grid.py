"""A uniform grid: the multiples of one step, zero among them."""

import numpy as np


def round_to_grid(values: np.ndarray, step: float) -> np.ndarray:
    """Move each value to the nearest multiple of ``step``; from the middle between two to the even one.

    Args:
        values: float32 of any shape, finite.
        step: above 0. Where it is a power of two, the multiples are exact sums of powers of two.

    Returns:
        float32 of the same shape; zeros have no sign.
    """
    multiples = np.rint(values.astype(np.float64) / step)
    return (multiples * step).astype(np.float32) + np.float32(0.0)  # adding turns -0.0 into 0.0
