"""The gradients of shared values on the CPU: sums over the weights that have one, in one compiled pass."""

import numba
import numpy as np
import torch
from torch import Tensor

from wfn.system.compiled import compiled, torch_threads

PARTS = 16  # of the weights, each with sums of its own, so that they do not depend on the number of threads


@compiled(parallel=True)
def sums_by_value(numbers, assignment, values):
    """For each of so many ``values`` the sum of the ``numbers``, float32 [n], assigned to it, int32 [n]: float64."""
    sums = np.zeros((PARTS, values))
    for part in numba.prange(PARTS):
        own = sums[part]
        for i in range(numbers.size * part // PARTS, numbers.size * (part + 1) // PARTS):
            own[assignment[i]] += numbers[i]
    return sums.sum(0)


class KernelSums:
    """Sums over the weights that share a value.

    Args:
        assignment: int32 [n], for each weight the index of its value.
        size: k, how many values there are.
    """

    def __init__(self, assignment: Tensor, size: int) -> None:
        self._assignment, self._size = assignment.numpy(), size

    def of(self, weights: Tensor) -> Tensor:
        """Float64 [k], of what each weight has in ``weights``, float32 [n]; 0 for a value that no weight has."""
        with torch_threads():
            return torch.from_numpy(sums_by_value(weights.numpy(), self._assignment, self._size))
