"""The codebook section: distinct values as sums of powers of two, and how often each occurs.

Columns of numbers, little-endian, one after another: how many values (u32); the terms of each (u8, or RAW or ASCENDING
for a value that is not a short sum); of all terms 2 exponent + (1 where subtracted) (i16); the raw values (f32); of the
ascending ones the distances from each to the next, counted in float32 numbers from the least that there is (u32, all
lowest bytes first); the counts (u64, likewise); and, of a network that can be sampled from, the deviations (f32).

The distances take less room than the values, because they do not say in which order the values come. Files of version 1
have raw values alone.
"""

from itertools import pairwise
from math import ldexp

import numpy as np

from wfn.codebooks.powers_of_two import powers_of_two, signed_powers
from wfn.compressed_file.container import deflate, inflate
from wfn.errors import UserError
from wfn.system.float32 import float_of_key, key_of_float

MOST_VALUES = 1 << 16
_MOST_TERMS = 4  # more of them would take more room than the float32 itself
_RAW = 255
_ASCENDING = 254
_LEAST_KEY = -(1 << 31)
_MOST_BYTES = 4 + MOST_VALUES * (1 + 2 * _MOST_TERMS + 8 + 4)


def pack_codebook(values: np.ndarray, counts: np.ndarray, deviations: np.ndarray | None = None) -> bytes:
    """Write distinct finite ``values`` (float32 [V]), their ``counts`` (int64 [V]) and ``deviations`` (float32 [V]).

    Raises:
        UserError: V exceeds :data:`MOST_VALUES`: the weights are not fixed.
    """
    if len(values) > MOST_VALUES:
        raise UserError(
            f"the weights take {len(values):,} distinct values, and a codebook holds at most {MOST_VALUES:,}: "
            "fix the network first"
        )
    sums = [_terms(float(value)) for value in values]
    raw = values[[terms is None for terms in sums]]
    keys = key_of_float(raw).astype(np.int64)
    ascending = bool((np.diff(keys) > 0).all()) and not np.signbit(raw[raw == 0]).any()
    kind = _ASCENDING if ascending else _RAW
    columns = (
        np.array([len(values)], "<u4"),
        np.array([kind if terms is None else len(terms) for terms in sums], "u1"),
        np.array([term for terms in sums for term in terms or ()], "<i2"),
        _lowest_bytes_first(np.diff(keys, prepend=_LEAST_KEY), "<u4") if ascending else raw.astype("<f4"),
        _lowest_bytes_first(counts, "<u8"),
        *(() if deviations is None else (deviations.astype("<f4"),)),
    )
    return deflate(b"".join(column.tobytes() for column in columns))


def unpack_codebook(section: bytes) -> tuple[np.ndarray, list[int], np.ndarray | None]:
    """Read what :func:`pack_codebook` wrote.

    Returns:
        values, float32 [V]; counts, a list of V positive integers; deviations, float32 [V], 0 or more, or None.

    Raises:
        ValueError: it is not what :func:`pack_codebook` writes.
    """
    columns = _Columns(inflate("codebook", section, _MOST_BYTES))
    (size,) = columns.take("<u4", 1).tolist()
    kinds = columns.take("u1", size)
    is_raw, is_ascending = kinds == _RAW, kinds == _ASCENDING
    lengths = np.where(is_raw | is_ascending, 0, kinds).astype(np.int64)
    if (lengths > _MOST_TERMS).any():
        raise ValueError(f"its codebook has a value of {lengths.max()} terms, and {_MOST_TERMS} is the most")
    terms = columns.take("<i2", int(lengths.sum())).tolist()
    ends = np.cumsum(lengths).tolist()
    sums = np.array([_sum(terms[start:end]) for start, end in pairwise([0, *ends])], np.float64)
    with np.errstate(over="ignore"):
        values = sums.astype(np.float32)
    if (values != sums).any():
        raise ValueError("its codebook has a sum of powers of two that no float32 is")
    values[is_raw] = columns.take("<f4", int(is_raw.sum()))
    keys = np.cumsum(columns.take_lowest_bytes_first("<u4", int(is_ascending.sum())).astype(np.int64)) + _LEAST_KEY
    if (keys > np.iinfo(np.int32).max).any():
        raise ValueError("its codebook has a value beyond every float32")
    values[is_ascending] = float_of_key(keys)
    counts = columns.take_lowest_bytes_first("<u8", size).tolist()
    deviations = columns.take("<f4", size) if columns.left else None
    columns.end()
    if deviations is not None and not (np.isfinite(deviations) & (deviations >= 0)).all():
        raise ValueError("its codebook has deviations below zero, or not finite")
    if not np.isfinite(values).all() or len(np.unique(values.view(np.uint32))) < size or 0 in counts:
        raise ValueError("its codebook is not one of distinct finite values in use")
    return values, counts, deviations


def _lowest_bytes_first(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """Whole numbers as bytes: the lowest of each, then the second of each, and so on."""
    return numbers.astype(dtype).view("u1").reshape(-1, np.dtype(dtype).itemsize).T


def _terms(value: float) -> list[int] | None:
    """The signed powers of two that sum to ``value`` (its non-adjacent form), packed; None where they are too many."""
    if powers_of_two(value) > _MOST_TERMS or (value == 0 and np.signbit(value)):
        return None
    return [2 * exponent + (sign < 0) for sign, exponent in signed_powers(value)]


def _sum(terms: list[int]) -> float:
    if any(not -149 <= term >> 1 <= 128 for term in terms):
        raise ValueError("its codebook has a power of two that no float32 is made of")
    lowest = min((term >> 1 for term in terms), default=0)
    significand = sum((-1) ** (term & 1) << ((term >> 1) - lowest) for term in terms)
    if significand.bit_length() > 24:
        raise ValueError("its codebook has a sum of powers of two that no float32 is")
    return ldexp(significand, lowest)


class _Columns:
    """Numbers read from bytes, one column after another."""

    def __init__(self, content: bytes) -> None:
        self._content, self._start = content, 0

    def take(self, dtype: str, size: int) -> np.ndarray:
        end = self._start + np.dtype(dtype).itemsize * size
        if end > len(self._content):
            raise ValueError("its codebook ends early")
        start, self._start = self._start, end
        return np.frombuffer(self._content[start:end], dtype)

    def take_lowest_bytes_first(self, dtype: str, size: int) -> np.ndarray:
        width = np.dtype(dtype).itemsize
        return self.take("u1", width * size).reshape(width, -1).T.copy().view(dtype).ravel()

    @property
    def left(self) -> bool:
        """Whether anything follows."""
        return self._start < len(self._content)

    def end(self) -> None:
        if self._start != len(self._content):
            raise ValueError("its codebook does not end where it should")
