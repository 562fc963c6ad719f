"""Learned steps on the CPU: the multiples of a step, and the gradients of both, in one compiled pass each.

The equations are those of :class:`wfn.codebooks.quantisers.learned_steps.Range`, and so are the bits, but for a sum.
Numbers in bfloat16 come as uint16, the first half of a float32's bits; they are widened, and what comes of them is
rounded, a block at a time.
"""

import numba
import numpy as np

from wfn.system.compiled import compiled

BLOCK = 8192  # numbers that one thread takes at a time, so that a sum does not depend on the number of threads
NAN = np.uint16(0x7FC0)  # in bfloat16


@compiled(parallel=True)
def quantise(numbers, step, lowest, highest, out):
    """Write the multiples of ``step`` to ``out``; all are float32, the first and the last [n]."""
    for block in numba.prange((numbers.size + BLOCK - 1) // BLOCK):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        _quantise(numbers[part], step, lowest, highest, out[part])


@compiled(parallel=True)
def quantise_halves(halves, step, lowest, highest, out):
    """The same for numbers in bfloat16, uint16 [n]."""
    for block in numba.prange((halves.size + BLOCK - 1) // BLOCK):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        numbers = _widened(halves[part])
        multiples = np.empty_like(numbers)  # loops over two arrays that are one are not compiled for several at once
        _quantise(numbers, step, lowest, highest, multiples)
        _round(multiples, out[part])


@compiled(parallel=True)
def backward(numbers, step, lowest, highest, gradient):
    """Turn the ``gradient`` of the multiples, in place, into that of ``numbers``; both float32 [n], as the scalars are.

    Returns:
        The gradient of ``step``, not yet scaled, float64.
    """
    sums = np.zeros((numbers.size + BLOCK - 1) // BLOCK)
    for block in numba.prange(sums.size):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        sums[block] = _backward(numbers[part], step, lowest, highest, gradient[part])
    return sums.sum()


@compiled(parallel=True)
def backward_halves(halves, step, lowest, highest, gradient):
    """The same for numbers and gradients in bfloat16, uint16 [n] each."""
    sums = np.zeros((halves.size + BLOCK - 1) // BLOCK)
    for block in numba.prange(sums.size):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        numbers, slopes = _widened(halves[part]), _widened(gradient[part])
        sums[block] = _backward(numbers, step, lowest, highest, slopes)
        _round(slopes, gradient[part])
    return sums.sum()


@compiled(error_model="numpy")
def _quantise(numbers, step, lowest, highest, out):
    for i in range(numbers.size):
        scaled = numbers[i] / step
        scaled = lowest if scaled < lowest else highest if scaled > highest else scaled
        out[i] = np.rint(scaled) * step + np.float32(0)


@compiled(error_model="numpy", fastmath={"reassoc"})  # so that the sum, too, is of several numbers at once
def _backward(numbers, step, lowest, highest, gradient):
    total = 0.0
    for i in range(numbers.size):
        scaled = numbers[i] / step
        clipped = lowest if scaled < lowest else highest if scaled > highest else scaled
        is_inside = (scaled > lowest) & (scaled < highest)
        of_step = np.rint(scaled) - scaled if is_inside else clipped
        total += np.float64(gradient[i] * of_step)
        gradient[i] *= np.float32(is_inside)
    return total


@compiled()
def _widened(halves):
    bits = np.empty(halves.size, np.uint32)
    for i in range(halves.size):
        bits[i] = np.uint32(halves[i]) << np.uint32(16)
    return bits.view(np.float32)


@compiled()
def _round(numbers, halves):
    """Write the nearest bfloat16 of each of ``numbers``, of two as near the even one."""
    bits = numbers.view(np.uint32)
    for i in range(halves.size):
        odd = (bits[i] >> np.uint32(16)) & np.uint32(1)
        nearest = np.uint32(bits[i] + np.uint32(np.uint32(0x7FFF) + odd)) >> np.uint32(16)
        halves[i] = np.uint16(nearest) if numbers[i] == numbers[i] else NAN
