"""Which values the weights of a network take, and how often: the one sort that every measure shares."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from wfn.errors import UserError
from wfn.system.float32 import float_of_key, key_of_float


@dataclass(frozen=True)
class Distinct:
    """How often each of some distinct values occurs, in all and in each parameter.

    One row is one value in one parameter; the rows are sorted by value, then by parameter.

    Attributes:
        values: float32 [V], the distinct values, ascending; -0.0 and 0.0 are one value, 0.0.
        counts: int64 [V], how often each value occurs, all positive.
        occurrences: int64 [R], how often a row's value occurs in its parameter.
        parameter: int32 [R], the parameter that a row is about, by its position among those given.
        first_row: int64 [V + 1], where the rows of each value begin, and R.
    """

    values: np.ndarray
    counts: np.ndarray
    occurrences: np.ndarray
    parameter: np.ndarray
    first_row: np.ndarray

    def combine(self, ufunc: np.ufunc, rows: np.ndarray) -> np.ndarray:
        """Combine what stands in the rows of each value by ``ufunc``: [R] -> [V]."""
        return ufunc.reduceat(rows, self.first_row[:-1])


def distinct(weights: Mapping[str, np.ndarray], block: int = 1 << 19) -> Iterator[Distinct]:
    """Find the distinct values of ``weights``, ascending, a block at a time.

    One sort of N 64-bit keys, in which value and parameter are packed, brings equal values together. What follows
    goes through them in blocks that fit the cache: where every weight is different, fresh arrays of length N would
    take longer than the sort.

    Args:
        weights: parameter name -> float32 array of any shape; N elements in all.
        block: weights a block; all copies of a value are in one block, which may exceed it for that.

    Raises:
        UserError: there is no element, or one is NaN.
    """
    keys = _sorted_keys(weights)
    start = 0
    while start < len(keys):
        last_value = keys[min(start + block, len(keys)) - 1] >> 32
        end = int(np.searchsorted(keys, (last_value + 1) << 32))
        yield _distinct_in(keys[start:end])
        start = end


def frequencies(counts: np.ndarray) -> Counter[int | float]:
    """How many symbols have each count; entropy and the length of a code depend on nothing else.

    Among millions of different weights there are few different counts.

    Args:
        counts: [V], how often each symbol occurs, int or float; symbols that never do are left out.
    """
    found, symbols = np.unique(counts[counts > 0], return_counts=True)
    return Counter(dict(zip(found.tolist(), symbols.tolist(), strict=True)))


def run_bounds(values: np.ndarray) -> np.ndarray:
    """Where each run of equal neighbours begins, and at last the length of ``values``."""
    bounds = np.ones(len(values) + 1, bool)
    np.not_equal(values[1:], values[:-1], out=bounds[1:-1])
    return np.flatnonzero(bounds)


def sum_n_log_n(counts: np.ndarray) -> float:
    """Sum of n log2 n over ``counts``, which entropies are made of; 0 and 1 add nothing."""
    several = counts[counts > 1]
    return float((several * np.log2(several)).sum())


def _sorted_keys(weights: Mapping[str, np.ndarray]) -> np.ndarray:
    keys = np.empty(sum(values.size for values in weights.values()), np.int64)
    if not len(keys):
        raise UserError("there are no weights to measure: expected at least one parameter that the forward pass uses")
    start = 0
    for position, (name, values) in enumerate(weights.items()):
        if np.isnan(values).any():
            raise UserError(f"parameter {name!r} contains NaN, which is no weight: check the training that made it")
        part = keys[start : start + values.size]
        part[:] = key_of_float(values.reshape(-1))
        part <<= 32
        part |= position
        start += values.size
    keys.sort()
    return keys


def _distinct_in(keys: np.ndarray) -> Distinct:
    first_key = run_bounds(keys)
    rows = keys[first_key[:-1]]
    row_values = (rows >> 32).astype(np.int32)
    first_row = run_bounds(row_values)
    return Distinct(
        values=float_of_key(row_values[first_row[:-1]]),
        counts=np.diff(first_key[first_row]),
        occurrences=np.diff(first_key),
        parameter=rows.astype(np.int32),  # the lower half
        first_row=first_row,
    )
