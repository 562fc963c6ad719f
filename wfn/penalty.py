"""Eq. 4 and its gradient from a table: the pull of the free weights towards the centres.

For a given set of centres Eq. 4 is a sum of one function of one variable. With the relative distances of Eq. 2,
D_j(w) = |w - c_j| / |w|, and their softmin, p_j = exp(-D_j / tau) / sum_l exp(-D_l / tau),

    F(w) = sum_j p_j D_j                    F'(w) = sum_j p_j D_j' (1 - (D_j - F) / tau)

for |w| >= delta0, and F = F' = 0 below, where a weight sits at the zero centre. Between two centres F is smooth, so a
piecewise cubic replaces the centres x weights matrix: its pieces begin and end at the centres and at +-delta0, and are
halved until they are as near to F and F' as :data:`wfn.penalty_table.TOLERANCE` says. A weight finds its piece by the
upper half of its own bits, and by a few comparisons where pieces share those.

Differs: the paper takes p with tau = 1; the temperature is an argument here. The paper sets D below delta0 to 0 for
*every* centre, which gives the same F = 0.
"""

import numpy as np
import torch
from torch import Tensor

from wfn.errors import UserError
from wfn.penalty_table import BINS, bins, pieces_of_one_sign

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
        negative, positive = (pieces_of_one_sign(sign * centres, threshold, temperature) for sign in (-1.0, 1.0))
        mirror = np.array([[-1], [1], [-1], [1], [-1]], dtype=np.float32)  # F(w) for w < 0 is F(-w) of -centres
        starts = np.concatenate([negative[0] - 2**31, positive[0]])  # ordered as the weights' bits are, read as int32
        entries, crowd = bins(starts)
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
        self._bin[:size].copy_(key.add_(BINS // 2))
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
