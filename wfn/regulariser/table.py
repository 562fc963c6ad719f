"""The table of Eq. 4: a piecewise cubic of one variable, and the bins by which a weight finds its piece.

A "key" is the bits of a float32 >= 0 read as an integer: as ordered as the floats themselves.
"""

from dataclasses import dataclass

import numpy as np

from wfn.errors import UserError
from wfn.system.float32 import ceil_float32, float_of_key, key_of_float

TOLERANCE = 1e-4
"""Largest error of F: TOLERANCE (F + FLOOR), and of F': TOLERANCE (sum_j p_j |D_j'| + FLOOR / |w|).

That of F' is measured against the mean slope of the distances, because F' itself crosses zero between two centres.
"""
FLOOR = 1e-8
"""What counts as zero in F and in |w| F', because a far centre's share, exp(-D / tau), has no lower end.

Less than F of the float32 next to a centre, so that even this one's value is relatively accurate.
"""

_BUILD_SHARE = 0.7  # of the tolerance: a piece is checked at a few floats only
_FAR = TOLERANCE * FLOOR  # centres smaller than a weight by this factor are as good as zero to it: F = 1
_OCTAVE = 1 << 23  # of keys; no piece is longer, so that the floats at which it is checked stand for all of it
BINS = 1 << 16  # one for every upper half of a float32: sign, exponent, 7 bits of the fraction
_MOST_PIECES = 1 << 14  # for each sign: a piece's number times 2^16 has to fit an int32


@dataclass(frozen=True)
class PenaltyTable:
    """F of one set of centres as cubics, and how a weight w finds its own by ``bits``, those of its float32 as int32.

    ``piece = (entries[(bits >> 16) + BINS / 2] + bits) >> 16``, and then, for each of ``steps``, ``piece += step``
    where ``bits >= ahead[step][piece]``. With ``t = w - origin`` of that piece, ``F = a + b t + c t^2 + d t^3``.

    Attributes:
        entries: int32 [BINS].
        steps: powers of two, falling; none where no bin holds more than one boundary.
        ahead: int32 [steps, pieces], the boundary that lies so many pieces ahead.
        pieces: float32 [5, pieces], the rows origin, a, b, c, d.
    """

    entries: np.ndarray
    steps: tuple[int, ...]
    ahead: np.ndarray
    pieces: np.ndarray

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.entries.nbytes + self.ahead.nbytes + self.pieces.nbytes


def build(centres: np.ndarray, threshold: float, temperature: float) -> PenaltyTable:
    """The table for ``centres``, float64 [k]; raises :class:`UserError` where it would grow too large."""
    negative, positive = (pieces_of_one_sign(sign * centres, threshold, temperature) for sign in (-1.0, 1.0))
    mirror = np.array([[-1], [1], [-1], [1], [-1]], dtype=np.float32)  # F(w) for w < 0 is F(-w) of -centres
    starts = np.concatenate([negative[0] - 2**31, positive[0]])  # ordered as the weights' bits are, read as int32
    entries, crowd = bins(starts)
    steps = tuple((1 << np.arange(max(crowd - 1, 0).bit_length()))[::-1].tolist())
    ahead = [np.append(starts[step:], [2**31 - 1] * step) for step in steps]
    return PenaltyTable(
        entries,
        steps,
        np.array(ahead, np.int32).reshape(len(steps), len(starts)),
        np.hstack([mirror * negative[1], positive[1]]),
    )


def pieces_of_one_sign(centres: np.ndarray, threshold: float, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the pieces of F for w >= 0.

    Returns:
        starts, int64 [n]: the key at which each piece begins, ascending from 0.
        rows, float32 [5, n]: origin o and coefficients a, b, c, d: F(w) = a + b t + c t^2 + d t^3 with t = w - o.
    """
    live = int(_key_at_or_above(np.array([threshold]))[0])
    far = int(_key_at_or_above(np.array([max(threshold, np.abs(centres).max()) / _FAR]))[0])
    kinks = _kinks(centres[centres >= _number(np.array([live]))], far)
    bounds = np.union1d(np.arange(live, far, _OCTAVE), kinks[0])
    start, end = bounds[:-1], bounds[1:]
    starts = [np.array([0, far])]  # the cell of zero, and where every distance is 1
    rows = [np.array([[0, 0], [0, 1], [0, 0], [0, 0], [0, 0]], dtype=np.float32)]
    while len(start):
        if sum(map(len, starts)) + len(start) > _MOST_PIECES:
            raise UserError(
                f"temperature {temperature}, threshold {threshold} and {len(centres)} centres need a table of over "
                f"{_MOST_PIECES} pieces: raise the temperature or the threshold, or take fewer centres"
            )
        fitted = _fit(start, end, kinks, centres, temperature)
        good = _is_good(fitted, start, end, centres, temperature)
        starts.append(start[good])
        rows.append(fitted[:, good])
        start, end = start[~good], end[~good]
        middle = _middle(start, end)
        start, end = np.concatenate([start, middle]), np.concatenate([middle, end])
    order = np.argsort(np.concatenate(starts))
    return np.concatenate(starts)[order], np.hstack(rows)[:, order]


def _kinks(centres: np.ndarray, far: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys at which the positive ``centres`` part F into pieces, and the float nearest to each one's centre.

    A weight can sit exactly on a centre that is a float32: that one float is a piece of its own. The end of the table
    is added, so that there is always a kink at or above a key.
    """
    keys = _key_at_or_above(centres)
    exact = _number(keys) == centres
    keys, first = np.unique(np.concatenate([keys, keys[exact] + 1, [far]]), return_index=True)
    nearest = np.concatenate([centres, centres[exact], _number(np.array([far]))])[first]
    return keys, nearest.astype(np.float32).astype(np.float64)


def _anchor(keys: np.ndarray, kinks: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the float that stands for each boundary (at a kink, the centre's nearest), and which ones are kinks."""
    kink_keys, nearest = kinks
    index = np.searchsorted(kink_keys, keys)
    is_kink = kink_keys[index] == keys
    return np.where(is_kink, nearest[index], _number(keys)), is_kink


def _fit(
    start: np.ndarray,
    end: np.ndarray,
    kinks: tuple[np.ndarray, np.ndarray],
    centres: np.ndarray,
    temperature: float,
) -> np.ndarray:
    """Return the cubic of each piece that has F and F' at both ends, told from the end that is a centre if one is.

    There F may vanish, so that only an offset from the centre keeps the value's relative accuracy. A piece of a single
    float is a point with its own value and gradient.
    """
    (left, left_is_kink), (right, right_is_kink) = _anchor(start, kinks), _anchor(end, kinks)
    inside, point = _number(start), end - start == 1
    origin, other = np.where(right_is_kink & ~left_is_kink, [right, left], [left, right])
    origin, other = np.where(point, inside, [origin, other])
    a, b, _ = _literal(origin, inside, centres, temperature)
    a_other, b_other, _ = _literal(other, inside, centres, temperature)
    width = np.where(origin == other, np.inf, other - origin)
    chord = (a_other - a) / width
    c = (3 * chord - 2 * b - b_other) / width
    d = (b + b_other - 2 * chord) / width / width
    return np.stack([origin, a, b, c, d]).astype(np.float32)


def _is_good(
    rows: np.ndarray, start: np.ndarray, end: np.ndarray, centres: np.ndarray, temperature: float
) -> np.ndarray:
    """Tell which pieces are within their share of the tolerance at five floats between their ends."""
    good = np.ones(len(start), dtype=bool)
    for eighths in (1, 2, 4, 6, 7):
        weights = _number(start + (end - start) * eighths // 8)
        origin, a, b, c, d = rows
        t = weights.astype(np.float32) - origin
        higher = c + t * d
        value, gradient = a + t * (b + t * higher), b + t * (higher + (higher + t * d))
        exact_value, exact_gradient, scale = _literal(weights, _number(start), centres, temperature)
        good &= np.abs(value - exact_value) <= _BUILD_SHARE * TOLERANCE * (exact_value + FLOOR)
        good &= np.abs(gradient - exact_gradient) <= _BUILD_SHARE * TOLERANCE * (scale + FLOOR / weights)
    return good | (end - start == 1)


def _literal(
    weights: np.ndarray, inside: np.ndarray, centres: np.ndarray, temperature: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return F, F' and sum_j p_j |D_j'| of the smooth branch of F that holds around ``inside``, float64 [n] each."""
    results = np.empty((3, len(weights)))
    rows = max(1, 2**14 // len(centres))  # the matrices stay in the processor's cache
    for begin in range(0, len(weights), rows):
        chunk = slice(begin, begin + rows)
        w = weights[chunk, None]
        sign = np.sign(inside[chunk, None] - centres)
        distance = sign * (w - centres) / w
        least = distance.min(axis=1, keepdims=True)
        distance -= least
        share = np.exp(distance / -temperature)
        share /= share.sum(axis=1, keepdims=True)
        value = np.einsum("ij,ij->i", share, distance)
        slope = share * (sign * centres)
        mean_slope, product = slope.sum(axis=1), np.einsum("ij,ij->i", slope, distance)
        w = w[:, 0]
        results[0, chunk] = value + least[:, 0]
        results[1, chunk] = (mean_slope + (value * mean_slope - product) / temperature) / w / w
        results[2, chunk] = share @ np.abs(centres) / w / w
    return results[0], results[1], results[2]


def _middle(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return a key in the middle of each piece, at a bin's edge where there is one between the ends."""
    middle = (start + end) // 2
    edge = (middle + 2**15) >> 16 << 16
    return np.where((start < edge) & (edge < end), edge, middle)


def bins(starts: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the table that finds a weight's piece by its bits, and the largest number of boundaries within a bin.

    (entry[bits >> 16] + bits) >> 16 is the bin's first piece, or the next one from the bin's first boundary on: the
    entry is such that the bits carry into the upper half exactly there.
    """
    edges = (np.arange(BINS) - BINS // 2) << 16
    first = np.searchsorted(starts, edges, side="right") - 1
    crowd = np.searchsorted(starts, edges + 2**16, side="left") - 1 - first
    boundary = np.append(starts, 0)[first + 1]
    entries = (first << 16) - np.where(crowd > 0, boundary - 2**16, edges)
    return entries.astype(np.uint32).view(np.int32), int(crowd.max())


def _key_at_or_above(numbers: np.ndarray) -> np.ndarray:
    """int64, the key of the smallest float32 that is at least each of the positive ``numbers``."""
    return key_of_float(ceil_float32(numbers)).astype(np.int64)


def _number(keys: np.ndarray) -> np.ndarray:
    """float64, the numbers whose keys these are."""
    return float_of_key(keys).astype(np.float64)
