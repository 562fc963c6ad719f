"""Eq. 4 and its gradient from a table: the pull of the free weights towards the centres.

For a given set of centres Eq. 4 is a sum of one function of one variable. With the relative distances of Eq. 2,
D_j(w) = |w - c_j| / |w|, and their softmin, p_j = exp(-D_j / tau) / sum_l exp(-D_l / tau),

    F(w) = sum_j p_j D_j                    F'(w) = sum_j p_j D_j' (1 - (D_j - F) / tau)

for |w| >= delta0, and F = F' = 0 below, where a weight sits at the zero centre. Between two centres F is smooth, so a
piecewise cubic replaces the centres x weights matrix: its pieces begin and end at the centres and at +-delta0, and are
halved until they are as near to F and F' as :data:`wfn.regulariser.table.TOLERANCE` says. A weight finds its piece by
the upper half of its own bits, and by a few comparisons where pieces share those.

Differs: the paper takes the softmin with tau = 1; the temperature is an argument here. The paper sets the distance of
weights below delta0 to 0 for every centre, which gives the same penalty of 0.
"""

import numpy as np
import torch
from torch import Tensor

from wfn.errors import UserError
from wfn.regulariser.table import build

LARGEST = 1e8  # magnitude of a centre


class Penalty:
    """Eq. 4 of one set of centres: the sum over the weights and its gradient, in fixed memory.

    Building takes (pieces x centres); a weight then takes a few look-ups, however many centres there are. Only where
    many boundaries lie within one bin, 1/128 of an octave, does each doubling of them cost one look-up more.

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
        self._device = torch.empty(0, device=device).device
        table = build(centres, threshold, temperature)
        self.nbytes = table.nbytes
        if self._device.type == "cpu":
            from wfn.regulariser.compiled import KernelEvaluation

            self._evaluate = KernelEvaluation(table)
            self.table = self._evaluate.table
        else:
            from wfn.regulariser.tensors import TensorEvaluation

            self._evaluate = TensorEvaluation(table, self._device)

    @torch.no_grad()
    def value_and_gradient(self, weights: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the sum of F over the weights and F' of each of them.

        Exactly on a centre F' takes that centre's D' as 0, as the literal formula with sgn(0) = 0 does. A weight that
        is infinite or NaN makes the sum NaN. Nothing waits for the device.

        Args:
            weights: float32 [N].
            out: float32 [N] for the gradient, made if None.

        Returns:
            The sum (float64, no dimensions) and the gradient (``out``).

        Raises:
            UserError: a tensor is not float32 [N] on the table's device.
        """
        gradient = torch.empty_like(weights) if out is None else out
        self._check_vectors(weights, gradient)
        return self._evaluate(weights, gradient, None), gradient

    @torch.no_grad()
    def values(self, weights: Tensor) -> Tensor:
        """Return F of each weight, float32 [N]; raises as :meth:`value_and_gradient` does."""
        self._check_vectors(weights)
        values = torch.empty_like(weights)
        self._evaluate(weights, torch.empty_like(weights), values)
        return values

    def _check_vectors(self, *vectors: Tensor) -> None:
        device, shape = self._device, vectors[0].shape
        for vector in vectors:
            if vector.dtype != torch.float32 or vector.device != device or vector.dim() != 1 or vector.shape != shape:
                raise UserError(
                    f"the penalty got a {vector.dtype} tensor of shape {tuple(vector.shape)} on {vector.device}: give "
                    f"flat float32 tensors of one length on {device}"
                )


def check_largest(largest: float) -> None:
    """Raise :class:`UserError` where a weight of magnitude ``largest`` could become a centre that has no penalty."""
    if largest > LARGEST:
        raise UserError(
            f"weights must be at most {LARGEST:g} for the regulariser, but one is {largest:g}: turn it off by alpha=0, "
            "or scale the network"
        )


def _check(centres: np.ndarray, threshold: float, temperature: float) -> None:
    outside = centres[~(np.abs(centres) <= LARGEST)]
    if not len(centres) or len(outside):
        got = outside[0] if len(outside) else "none"
        raise UserError(f"centres must be one or more numbers from -1e8 to 1e8, got {got}: check the weights")
    if not 1e-8 <= threshold <= 1e8:
        raise UserError(f"threshold must be from 1e-8 to 1e8, got {threshold}: the paper's code takes 2^-7")
    if not 0 < temperature < np.inf:
        raise UserError(f"temperature must be above 0 and finite, got {temperature}: the paper takes 1, its code 0.05")
