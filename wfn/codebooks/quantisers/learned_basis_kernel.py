"""Learned bases on the CPU, compiled: the first fit of a channel from its sorted weights, and a step in one pass.

See :mod:`wfn.codebooks.quantisers.learned_basis` for what a basis is. Sums are taken in double precision.
"""

import numba
import numpy as np

from wfn.system.compiled import compiled


@compiled(parallel=True)
def first_bases(ordered, codes, start, ridge, most):
    """A basis for each channel: fitted until no weight changes its code, or ``most`` times.

    The weights of one value are an interval of the sorted ones, so a pass takes a search a value, and sums of weights
    are differences of sums.

    Args:
        ordered: float32 [channels, n], each channel's weights ascending.
        codes: float64 [2^bits, bits], all of -1 and 1.
        start: float64 [bits], what the bases begin with, times the channel's deviation.
        ridge: added to the diagonal of ``B B^T``.
        most: fits a channel.

    Returns:
        float32 [channels, bits].
    """
    channels, size = ordered.shape
    values, bits = codes.shape
    bases = np.empty((channels, bits), np.float32)
    for channel in numba.prange(channels):
        row, sums, squares = ordered[channel], np.zeros(size + 1), 0.0
        for i in range(size):
            sums[i + 1] = sums[i] + row[i]
        mean = sums[size] / size
        for i in range(size):
            squares += (row[i] - mean) ** 2
        basis = np.sqrt(squares / size) * start
        bounds, before = np.zeros(values + 1, np.int64), np.full(values + 1, -1)
        order, order_before = np.zeros(values, np.int64), np.zeros(values, np.int64)
        counts, totals, of_values = np.empty(values), np.empty(values), np.empty(values)
        bounds[values] = size
        for _ in range(most):
            _rank_values(basis, codes, of_values, order)
            for j in range(1, values):
                bounds[j] = np.searchsorted(row, (of_values[j] + of_values[j - 1]) / 2, "right")
            if np.array_equal(bounds, before) and np.array_equal(order, order_before):
                break
            before[:], order_before[:] = bounds, order
            for j in range(values):
                counts[j] = bounds[j + 1] - bounds[j]
                totals[j] = sums[bounds[j + 1]] - sums[bounds[j]]
            _fit(basis, codes, order, counts, totals, ridge)
        bases[channel] = basis
    return bases


@compiled(parallel=True)
def quantise(weights, bases, codes, kept, ridge, out):
    """Write each weight's nearest value, and move each channel's basis towards the fit of its codes, in place.

    Args:
        weights: float32 [channels, n].
        bases: float32 [channels, bits].
        codes: float64 [2^bits, bits].
        kept: share of a basis that stays.
        ridge: as above.
        out: float32 [channels, n].
    """
    channels, size = weights.shape
    values, bits = codes.shape
    for channel in numba.prange(channels):
        row, written = weights[channel], out[channel]
        basis = bases[channel].astype(np.float64)
        order, of_values = np.empty(values, np.int64), np.empty(values)
        _rank_values(basis, codes, of_values, order)
        middles, written_values = np.empty(values - 1, np.float32), of_values.astype(np.float32)
        for j in range(1, values):
            middles[j - 1] = (of_values[j] + of_values[j - 1]) / 2
        counts, totals = np.zeros(values), np.zeros(values)
        for i in range(size):
            weight, index = row[i], np.uint64(0)
            for j in range(values - 1):
                index += np.uint64(weight > middles[j])
            written[i] = written_values[index]
            counts[index] += 1
            totals[index] += weight
        fit = basis.copy()
        _fit(fit, codes, order, counts, totals, ridge)
        for k in range(bits):
            bases[channel, k] = kept * basis[k] + (1 - kept) * fit[k]


@compiled()
def _rank_values(basis, codes, of_values, order):
    """Fill in the values of a basis, ascending, and whose code each is."""
    for j in range(codes.shape[0]):
        value = 0.0
        for k in range(codes.shape[1]):
            value += codes[j, k] * basis[k]
        place = j
        while place > 0 and of_values[place - 1] > value:
            of_values[place], order[place] = of_values[place - 1], order[place - 1]
            place -= 1
        of_values[place], order[place] = value, j


@compiled()
def _fit(basis, codes, order, counts, totals, ridge):
    """Solve ``(B B^T + ridge) v = B w``, of so many weights a value and their sums, by elimination, into ``basis``.

    The matrix is positive definite, so no pivot is looked for.
    """
    values, bits = codes.shape
    products = np.zeros((bits, bits + 1))
    for j in range(values):
        code = codes[order[j]]
        for k in range(bits):
            products[k, bits] += code[k] * totals[j]
            for m in range(bits):
                products[k, m] += code[k] * code[m] * counts[j]
    for k in range(bits):
        products[k, k] += ridge
    for k in range(bits):
        for m in range(k + 1, bits):
            factor = products[m, k] / products[k, k]
            for n in range(k, bits + 1):
                products[m, n] -= factor * products[k, n]
    for k in range(bits - 1, -1, -1):
        for m in range(k + 1, bits):
            products[k, bits] -= products[k, m] * basis[m]
        basis[k] = products[k, bits] / products[k, k]
