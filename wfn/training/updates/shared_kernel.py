"""The gradients of shared values on the CPU: sums over the weights that have one, in one compiled pass."""

import numba
import numpy as np

from wfn.system.compiled import compiled

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
