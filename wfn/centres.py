"""Which values a weight may be fixed to: Eq. 1's proposals, and their rounding to sums of powers of two."""

import numpy as np

FloatArray = np.ndarray


def proposed_centres(delta: float, threshold: float, largest: float) -> FloatArray:
    """Positive proposals, each weight between two of which lies within relative distance ``delta`` of the nearer.

    ``c_0 = threshold`` and ``c_{j+1} = c_j (1 + delta) / (1 - delta)`` while ``c_j <= largest`` (section 3, Eq. 1).
    Their negatives and zero complete the set.

    Args:
        delta: tolerated relative distance, in (0, 1).
        threshold: ``delta_0``, the magnitude below which weights become zero.
        largest: magnitude of the largest weight that is still free.

    Returns:
        float64 [s], ascending; empty where ``largest < threshold``.
    """
    if largest < threshold:
        return np.empty(0)
    growth = (1 + delta) / (1 - delta)
    steps = int(np.log(largest / threshold) / np.log(growth)) + 2  # one to spare for rounding
    centres = threshold * growth ** np.arange(steps)
    return centres[centres <= largest]


def round_to_powers_of_two(values: FloatArray, order: int, delta: float, threshold: float) -> FloatArray:
    """Round each value to a sum of at most ``order`` signed powers of two.

    Each term is the power of two that is nearest in the log domain to what the terms before it leave over; it is added
    while that residual is at least ``delta`` of the value and the exponent at least ``log2(threshold) - order``
    (section 3, "Additive Powers-of-two Approximations").

    Differs: the paper leaves the smallest exponent, the sign of a further term and the point where to stop open; the
    rules here are those of the authors' code.

    Args:
        values: float64 [k], positive.
        order: omega, at least 1.
        delta: relative residual below which no further term is added.
        threshold: ``delta_0``.

    Returns:
        float64 [k].
    """
    smallest_exponent = np.floor(np.log2(threshold)) - order
    total = np.exp2(np.round(np.log2(values)))
    for _ in range(order - 1):
        residual = values - total
        wanted = np.abs(residual) >= delta * values
        exponent = np.round(np.log2(np.abs(residual), out=np.full_like(residual, -np.inf), where=wanted))
        total += np.where(exponent >= smallest_exponent, np.copysign(np.exp2(exponent), residual), 0.0)
    return total
