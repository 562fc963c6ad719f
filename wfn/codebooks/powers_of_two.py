"""Sums of few signed powers of two: how many a value takes, which they are, and the nearest to a value."""

import numpy as np


def powers_of_two(value: float) -> int:
    """The least number of signed powers of two that sum to ``value``: omega; 0 for zero.

    The number of non-zero digits of the non-adjacent form of the significand, which is the minimum.
    """
    numerator = abs(float(value).as_integer_ratio()[0])
    return (numerator ^ (3 * numerator)).bit_count()


def signed_powers(value: float) -> list[tuple[int, int]]:
    """The fewest signed powers of two that sum to ``value``: (sign, exponent) of each, exponents ascending.

    They are the digits of the non-adjacent form; as many as :func:`powers_of_two` says, none for zero.
    """
    numerator, denominator = float(value).as_integer_ratio()
    exponent, terms = 1 - denominator.bit_length(), []
    while numerator:
        if numerator & 1:
            digit = 2 - (numerator & 3)
            terms.append((digit, exponent))
            numerator -= digit
        numerator >>= 1
        exponent += 1
    return terms


def round_to_powers_of_two(values: np.ndarray, order: int, delta: float, threshold: float) -> np.ndarray:
    """Round each value to a sum of at most ``order`` signed powers of two.

    Each term is the power of two that is nearest in the log domain to what the terms before it leave over; it is added
    while that residual is at least ``delta`` of the value and the exponent at least ``log2(threshold) - order``
    (section 3, "Additive Powers-of-two Approximations").

    Differs: the paper leaves the smallest exponent, the sign of a further term and the point where to stop open; the
    rules here are those of the authors' code, but that a term below the smallest exponent is left out and not raised
    to it.

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


def round_signed(values: np.ndarray, order: int, delta: float, threshold: float) -> np.ndarray:
    """:func:`round_to_powers_of_two` of numbers of either sign, float32 [k]; zero stays zero."""
    rounded, nonzero = np.zeros_like(values), values != 0
    magnitudes = np.abs(values[nonzero]).astype(np.float64)
    rounded[nonzero] = np.copysign(round_to_powers_of_two(magnitudes, order, delta, threshold), values[nonzero])
    return rounded
