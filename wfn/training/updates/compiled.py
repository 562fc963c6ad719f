"""The free weights' way out of the flat vector and back on the CPU: one compiled pass each."""

import numba
import numpy as np
import torch
from torch import Tensor

from wfn.regulariser.compiled import NO_TABLE, gather
from wfn.regulariser.penalty import Penalty
from wfn.system.compiled import compiled, torch_threads


class KernelFree:
    """Gathers the gradient of the free weights and scatters their values.

    See :class:`wfn.training.updates.free_weights.FreeUpdate`.

    Gathering, regulariser and the sums that the norm needs go through the weights once together: behind a backward
    pass they come from memory, not from the cache.
    """

    def __init__(self, positions: Tensor, drawn: int, penalty: Penalty | None) -> None:
        fits = not len(positions) or int(positions[-1]) < 2**32  # they rise
        self._positions = positions.numpy().astype(np.uint32 if fits else np.uint64)
        self._drawn = drawn if penalty else 0
        self._table = penalty.table if penalty else NO_TABLE
        self._slope = np.zeros(self._drawn, np.float32)

    def gather(
        self, source: Tensor, values: Tensor, gradient: Tensor, loss: Tensor, alpha: float, clip_norm: float
    ) -> float:
        """Fill ``gradient`` and return the penalty's sum."""
        weights = values.numpy()
        with torch_threads():
            penalty, squares, products, slope_squares = gather(
                weights, weights.view(np.int32), self._positions, source.numpy(), gradient.numpy(), self._slope,
                *self._table,
            )  # fmt: skip
        gamma = alpha * abs(loss.item()) / penalty if penalty > 0 else 0.0
        norm = max(squares + 2 * gamma * products + gamma * gamma * slope_squares, 0.0) ** 0.5
        scale = clip_norm / max(norm + 1e-6, clip_norm)  # NaN where the norm is: not a step of any size
        gradient.mul_(scale)
        gradient[: self._drawn].add_(torch.from_numpy(self._slope), alpha=scale * gamma)
        return penalty

    def scatter(self, values: Tensor, target: Tensor) -> None:
        """Write the free weights' ``values`` to where they stand in ``target``."""
        with torch_threads():
            _scatter(self._positions, values.numpy(), target.numpy())


@compiled(parallel=True)
def _scatter(positions, values, target):
    for i in numba.prange(positions.size):
        target[positions[np.uint64(i)]] = values[np.uint64(i)]
