"""float32 numbers as ordered integers, and the float32 next to a float64."""

import numpy as np


def key_of_float(values: np.ndarray) -> np.ndarray:
    """Integers that are ordered as the floats are: the bits of a negative float count its size downwards.

    Args:
        values: float32 [n], no NaN; -0.0 and 0.0 have one key.

    Returns:
        int32 [n]; of positive values their bits.
    """
    bits = (values + np.float32(0.0)).view(np.int32)  # adding turns -0.0 into 0.0
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def float_of_key(keys: np.ndarray) -> np.ndarray:
    """float32 [n], the floats whose keys these are; integers of any size that fit an int32."""
    keys = keys.astype(np.int32, copy=False)
    return (keys ^ ((keys >> 31) & 0x7FFFFFFF)).view(np.float32)


def ceil_float32(values: np.ndarray | float) -> np.ndarray:
    """The smallest float32 that is at least each float64 value: ``w < x`` for float32 ``w`` is ``w < ceil(x)``."""
    values = np.asarray(values, np.float64)
    with np.errstate(over="ignore"):
        nearest = values.astype(np.float32)
    return np.where(nearest < values, np.nextafter(nearest, np.float32(np.inf)), nearest)


def floor_float32(values: np.ndarray | float) -> np.ndarray:
    """The largest float32 that is at most each float64 value: ``w <= x`` for float32 ``w`` is ``w <= floor(x)``."""
    return -ceil_float32(-np.asarray(values))
