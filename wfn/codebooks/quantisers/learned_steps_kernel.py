"""Learned steps on the CPU: the multiples of a step, and the gradients of both, in one compiled pass each.

The equations are those of :class:`wfn.codebooks.quantisers.learned_steps.Range`, and so are the bits, but for a sum.
"""

import numba
import numpy as np

from wfn.system.compiled import compiled

BLOCK = 8192  # numbers whose slopes one thread sums, so that the sum does not depend on the number of threads


@compiled(parallel=True, error_model="numpy")
def quantise(numbers, step, lowest, highest, out):
    """Write the multiples of ``step`` to ``out``; all are float32, the first and the last [n]."""
    for i in numba.prange(numbers.size):
        scaled = numbers[i] / step
        scaled = lowest if scaled < lowest else highest if scaled > highest else scaled
        out[i] = np.rint(scaled) * step + np.float32(0)


@compiled(parallel=True, error_model="numpy", fastmath={"reassoc"})  # so that the sum, too, is of several at once
def backward(numbers, step, lowest, highest, gradient):
    """Turn the ``gradient`` of the multiples, in place, into that of ``numbers``; both float32 [n], as the scalars are.

    Returns:
        The gradient of ``step``, not yet scaled, float64.
    """
    sums = np.zeros((numbers.size + BLOCK - 1) // BLOCK)
    for block in numba.prange(sums.size):
        total = 0.0
        for i in range(block * BLOCK, min((block + 1) * BLOCK, numbers.size)):
            scaled = numbers[i] / step
            clipped = lowest if scaled < lowest else highest if scaled > highest else scaled
            is_inside = (scaled > lowest) & (scaled < highest)
            of_step = np.rint(scaled) - scaled if is_inside else clipped
            total += np.float64(gradient[i] * of_step)
            gradient[i] *= np.float32(is_inside)
        sums[block] = total
    return sums.sum()
