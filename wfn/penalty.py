"""Eq. 4 and its gradient from a table: the pull of the free weights towards the centres.

For a given set of centres Eq. 4 is a sum of one function of one variable. With the relative distances of Eq. 2,
D_j(w) = |w - c_j| / |w|, and their softmin, p_j = exp(-D_j / tau) / sum_l exp(-D_l / tau),

    F(w) = sum_j p_j D_j                    F'(w) = sum_j p_j D_j' (1 - (D_j - F) / tau)

for |w| >= delta0, and F = F' = 0 below, where a weight sits at the zero centre. Between two centres F is smooth, so a
piecewise cubic replaces the centres x weights matrix: its pieces begin and end at the centres and at +-delta0, and are
halved until they are as near to F and F' as :data:`TOLERANCE` says. A weight finds its piece by the upper half of its
own bits, and by a few comparisons where pieces share those.

Differs: the paper takes p with tau = 1; the temperature is an argument here. The paper sets D below delta0 to 0 for
*every* centre, which gives the same F = 0.
"""

import numpy as np
import torch
from torch import Tensor

from wfn.errors import UserError

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
_BINS = 1 << 16  # one for every upper half of a float32: sign, exponent, 7 bits of the fraction
_MOST_PIECES = 1 << 14  # for each sign: a piece's number times 2^16 has to fit an int32
_GATHER_ROWS = 16  # torch.gather shares rows, not columns, out between threads


class Penalty:
    """Eq. 4 of one set of centres: the sum over the weights and its gradient, in fixed memory.

    Building takes (pieces x centres); a weight then takes a handful of gathers, however many centres there are. Only
    where many boundaries lie within one bin, 1/128 of an octave, does each doubling of them cost one gather more. One
    object is not for two threads at once: they would share its scratch memory.

    Args:
        centres: float64 [k], within +-1e8; 0 may be among them; doubles are dropped and the order does not matter.
        threshold: delta0 > 0: weights with |w| < delta0 have no penalty. From 1e-8 to 1e8.
        temperature: tau > 0. The smaller, the larger the table; meant for 0.02 to 1.
        device: where the weights live.

    Raises:
        UserError: an argument is outside what is said above, or the table would grow too large.
    """

    def __init__(
        self, centres: np.ndarray, threshold: float, temperature: float, device: torch.device | str = "cpu"
    ) -> None:
        centres = np.unique(np.asarray(centres, dtype=np.float64))
        _check(centres, threshold, temperature)
        negative, positive = (_one_sign(sign * centres, threshold, temperature) for sign in (-1.0, 1.0))
        mirror = np.array([[-1], [1], [-1], [1], [-1]], dtype=np.float32)  # F(w) for w < 0 is F(-w) of -centres
        starts = np.concatenate([negative[0] - 2**31, positive[0]])  # ordered as the weights' bits are, read as int32
        entries, crowd = _bins(starts)
        self._entries = torch.from_numpy(entries).to(device)
        # the boundary that lies `step` pieces ahead of each piece
        self._ahead = [
            (step, torch.from_numpy(np.append(starts[step:], [2**31 - 1] * step).astype(np.int32)).to(device))
            for step in (1 << np.arange(max(crowd - 1, 0).bit_length()))[::-1].tolist()
        ]
        self._pieces = torch.from_numpy(np.hstack([mirror * negative[1], positive[1]])).to(device)
        # few enough for the scratch to stay in a processor's cache; an accelerator would rather have few launches
        self._chunk = 2**17 if self._entries.device.type == "cpu" else 2**20
        integers = torch.zeros((2, self._chunk), dtype=torch.int64, device=device)
        self._bin, self._piece = integers  # always valid indices, also past the end of a short chunk
        self._key, self._boundary = torch.zeros((2, self._chunk), dtype=torch.int32, device=device)
        self._offset, self._coefficient, self._value, self._slope = torch.zeros((4, self._chunk), device=device)

    @property
    def nbytes(self) -> int:
        """Size of the tables in bytes."""
        return sum(table.nbytes for table in (self._entries, self._pieces, *(table for _, table in self._ahead)))

    @torch.no_grad()
    def value_and_gradient(
        self, weights: Tensor, free: Tensor | None = None, out: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the sum of F over the weights and F' of each of them.

        Exactly on a centre F' takes that centre's D' as 0, as the literal formula with sgn(0) = 0 does. A weight that
        is infinite or NaN makes the sum NaN. Nothing waits for the device.

        Args:
            weights: float32 [N].
            free: float32 [N] of 0 and 1, or None for all ones: what both results are multiplied by, weight by weight.
            out: float32 [N] for the gradient, made if None.

        Returns:
            The sum (float64, no dimensions; float32 within a chunk, pairwise) and the gradient (``out``).

        Raises:
            UserError: a tensor is not float32 [N] on the table's device.
        """
        gradient = torch.empty_like(weights) if out is None else out
        self._check_vectors(weights, gradient, weights if free is None else free)
        total = torch.zeros((), dtype=torch.float64, device=weights.device)
        for begin in range(0, len(weights), self._chunk):
            chunk = slice(begin, begin + self._chunk)
            value = self._evaluate(weights[chunk], gradient[chunk])
            if free is not None:
                value.mul_(free[chunk])
                gradient[chunk].mul_(free[chunk])
            total += value.sum()
        return total, gradient

    @torch.no_grad()
    def values(self, weights: Tensor) -> Tensor:
        """Return F of each weight, float32 [N]; raises as :meth:`value_and_gradient` does."""
        self._check_vectors(weights)
        values, gradient = torch.empty_like(weights), torch.empty_like(weights)
        for begin in range(0, len(weights), self._chunk):
            chunk = slice(begin, begin + self._chunk)
            values[chunk] = self._evaluate(weights[chunk], gradient[chunk])
        return values

    def _evaluate(self, weights: Tensor, gradient: Tensor) -> Tensor:
        """Write F' of one chunk into ``gradient`` and return F, in scratch memory that the next call reuses."""
        size = len(weights)
        bits, key, piece = weights.view(torch.int32), self._key[:size], self._piece[:size]

        torch.bitwise_right_shift(bits, 16, out=key)
        self._bin[:size].copy_(key.add_(_BINS // 2))
        self._gather(self._entries, self._bin, self._key, size)
        piece.copy_(key.add_(bits).bitwise_right_shift_(16))
        for step, ahead in self._ahead:
            boundary = self._gather(ahead, self._piece, self._boundary, size)
            piece.copy_(key.add_(torch.ge(bits, boundary, out=boundary), alpha=step))

        origin, constant, linear, quadratic, cubic = self._pieces
        offset = self._gather(origin, self._piece, self._offset, size)
        torch.sub(weights, offset, out=offset)
        slope = self._gather(cubic, self._piece, self._slope, size)
        value = self._gather(quadratic, self._piece, self._value, size)
        value.addcmul_(offset, slope)
        torch.addcmul(value, offset, slope, out=slope)
        coefficient = self._gather(linear, self._piece, self._coefficient, size)
        torch.addcmul(coefficient, offset, value, out=value)
        torch.addcmul(value, offset, slope, out=gradient)
        coefficient = self._gather(constant, self._piece, self._coefficient, size)
        return torch.addcmul(coefficient, offset, value, out=value)

    @staticmethod
    def _gather(table: Tensor, index: Tensor, out: Tensor, size: int) -> Tensor:
        """Return ``table[index]`` of the first ``size`` indices, in ``out``."""
        whole = -(-size // _GATHER_ROWS) * _GATHER_ROWS
        rows = (_GATHER_ROWS, whole // _GATHER_ROWS)
        torch.gather(table.expand(_GATHER_ROWS, -1), 1, index[:whole].view(rows), out=out[:whole].view(rows))
        return out[:size]

    def _check_vectors(self, *vectors: Tensor) -> None:
        device, shape = self._pieces.device, vectors[0].shape
        for vector in vectors:
            if vector.dtype != torch.float32 or vector.device != device or vector.dim() != 1 or vector.shape != shape:
                raise UserError(
                    f"the penalty got a {vector.dtype} tensor of shape {tuple(vector.shape)} on {vector.device}: give "
                    f"flat float32 tensors of one length on {device}"
                )


def _check(centres: np.ndarray, threshold: float, temperature: float) -> None:
    outside = centres[~(np.abs(centres) <= 1e8)]
    if not len(centres) or len(outside):
        got = outside[0] if len(outside) else "none"
        raise UserError(f"centres must be one or more numbers from -1e8 to 1e8, got {got}: check the weights")
    if not 1e-8 <= threshold <= 1e8:
        raise UserError(f"threshold must be from 1e-8 to 1e8, got {threshold}: the paper's code takes 2^-7")
    if not 0 < temperature < np.inf:
        raise UserError(f"temperature must be above 0 and finite, got {temperature}: the paper takes 1, its code 0.05")


# ---------------------------------------------------------------------------------------------------------------------
# Building the table. A "key" is the bits of a float32 >= 0 read as an integer: as ordered as the floats themselves.


def _one_sign(centres: np.ndarray, threshold: float, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the pieces of F for w >= 0.

    Returns:
        starts, int64 [n]: the key at which each piece begins, ascending from 0.
        rows, float32 [5, n]: origin o and coefficients a, b, c, d: F(w) = a + b t + c t^2 + d t^3 with t = w - o.
    """
    live = int(_key_at_or_above(np.array([threshold]))[0])
    far = int(_key_at_or_above(np.array([max(threshold, np.abs(centres).max()) / _FAR]))[0])
    kinks = _kinks(centres[centres >= _float(np.array([live]))], far)
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
    exact = _float(keys) == centres
    keys, first = np.unique(np.concatenate([keys, keys[exact] + 1, [far]]), return_index=True)
    nearest = np.concatenate([centres, centres[exact], _float(np.array([far]))])[first]
    return keys, nearest.astype(np.float32).astype(np.float64)


def _anchor(keys: np.ndarray, kinks: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the float that stands for each boundary (at a kink, the centre's nearest), and which ones are kinks."""
    kink_keys, nearest = kinks
    index = np.searchsorted(kink_keys, keys)
    is_kink = kink_keys[index] == keys
    return np.where(is_kink, nearest[index], _float(keys)), is_kink


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
    inside, point = _float(start), end - start == 1
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
        weights = _float(start + (end - start) * eighths // 8)
        origin, a, b, c, d = rows
        t = weights.astype(np.float32) - origin
        higher = c + t * d
        value, gradient = a + t * (b + t * higher), b + t * (higher + (higher + t * d))
        exact_value, exact_gradient, scale = _literal(weights, _float(start), centres, temperature)
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
    return results


def _middle(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return a key in the middle of each piece, at a bin's edge where there is one between the ends."""
    middle = (start + end) // 2
    edge = (middle + 2**15) >> 16 << 16
    return np.where((start < edge) & (edge < end), edge, middle)


def _bins(starts: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the table that finds a weight's piece by its bits, and the largest number of boundaries within a bin.

    (entry[bits >> 16] + bits) >> 16 is the bin's first piece, or the next one from the bin's first boundary on: the
    entry is such that the bits carry into the upper half exactly there.
    """
    edges = (np.arange(_BINS) - _BINS // 2) << 16
    first = np.searchsorted(starts, edges, side="right") - 1
    crowd = np.searchsorted(starts, edges + 2**16, side="left") - 1 - first
    boundary = np.append(starts, 0)[first + 1]
    entries = (first << 16) - np.where(crowd > 0, boundary - 2**16, edges)
    return entries.astype(np.uint32).view(np.int32), int(crowd.max())


def _float(keys: np.ndarray) -> np.ndarray:
    return keys.astype(np.int32).view(np.float32).astype(np.float64)


def _key_at_or_above(numbers: np.ndarray) -> np.ndarray:
    """Return the key of the smallest float32 that is at least each of the positive ``numbers``."""
    nearest = numbers.astype(np.float32)
    return nearest.view(np.int32).astype(np.int64) + (nearest.astype(np.float64) < numbers)
