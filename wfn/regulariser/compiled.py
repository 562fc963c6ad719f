"""Evaluating the penalty's table on the CPU: one compiled pass over the weights."""

import numba
import numpy as np
import torch
from torch import Tensor

from wfn.regulariser.table import PenaltyTable
from wfn.system.compiled import compiled, torch_threads

CHUNK = 8192  # weights that one thread takes at a time

NO_TABLE = (np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, 0), np.int32), np.zeros((0, 8), np.float32))
"""Stands for the table where there is no penalty."""


class KernelEvaluation:
    """Gives a weight its F and F' from ``table``; the very first call compiles the kernel, which is kept on disk."""

    def __init__(self, table: PenaltyTable) -> None:
        # A row a piece, padded to half a cache line: a weight then touches one or two lines of the table.
        pieces = np.zeros((table.pieces.shape[1], 8), np.float32)
        pieces[:, : len(table.pieces)] = table.pieces.T
        self.table = (table.entries, np.array(table.steps, np.int32), table.ahead, pieces)

    def __call__(self, weights: Tensor, gradient: Tensor, values: Tensor | None) -> Tensor:
        """Write F' into ``gradient`` and, where given, F into ``values`` (float32 [N] each); return the sum of F."""
        weights = weights.detach().numpy()
        out = np.empty(0, np.float32) if values is None else values.numpy()
        with torch_threads():
            total = _evaluate(weights, weights.view(np.int32), gradient.numpy(), out, *self.table)
        return torch.tensor(total, dtype=torch.float64)


@compiled(parallel=True)
def _evaluate(weights, bits, slopes, values, entries, steps, ahead, pieces):
    total = 0.0
    for chunk in numba.prange((weights.size + CHUNK - 1) // CHUNK):
        part = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
        total += _stretch(weights[part], bits[part], slopes[part], values[part], entries, steps, ahead, pieces)
    return total


@compiled(parallel=True)
def gather(weights, bits, positions, source, gradient, slopes, entries, steps, ahead, pieces):
    """In one pass, ``gradient = source[positions]`` and F' of the first ``weights`` into ``slopes``, as many as it has.

    Here and not where it is used, because numba does not see when another file's functions change.

    Args:
        weights: float32 [N].
        bits: int32 [N], the same memory.
        positions: uint32 or uint64 [N].
        source: float32 [at least N].
        gradient: float32 [N], written.
        slopes: float32 [up to N], written.
        entries, steps, ahead, pieces: :attr:`KernelEvaluation.table`.

    Returns:
        The sum of F, and the dot products gradient * gradient, gradient * slopes and slopes * slopes.
    """
    total, squares, products, slope_squares = 0.0, 0.0, 0.0, 0.0
    no_values = np.empty(0, np.float32)
    for chunk in numba.prange((weights.size + CHUNK - 1) // CHUNK):
        part = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
        g, s = gradient[part], slopes[part]
        _take(source, positions[part], g)
        squares += _dot(g, g)
        if s.size:
            total += _stretch(weights[part], bits[part], s, no_values, entries, steps, ahead, pieces)
            products += _dot(g, s)
            slope_squares += _dot(s, s)
    return total, squares, products, slope_squares


# What a thread does with its chunk are calls, so that references to the arrays are counted once a chunk, not once a
# weight. Unsigned indices spare the loads Python's rule for negative ones. Without fastmath the compiler may neither
# fuse nor reorder: the same weights then give the same bits wherever they lie in memory, and the loop is not turned
# into vector gathers, which are slower here than plain loads.
@compiled(error_model="numpy")
def _stretch(weights, bits, slopes, values, entries, steps, ahead, pieces):
    total = 0.0
    for i in range(slopes.size):
        # int32 on purpose: the sum has to wrap as 32 bits do
        piece = np.uint32(np.int32(entries[np.uint32((bits[i] >> 16) + entries.size // 2)] + bits[i]) >> 16)
        for j in range(steps.size):
            piece += np.uint32(steps[j] * (bits[i] >= ahead[j, piece]))
        t = weights[i] - pieces[piece, 0]
        linear, cubic = pieces[piece, 2], pieces[piece, 4]
        higher = pieces[piece, 3] + t * cubic
        value = pieces[piece, 1] + t * (linear + t * higher)
        slopes[i] = linear + t * (higher + (higher + t * cubic))
        if values.size:
            values[i] = value
        total += value
    return total


@compiled()
def _take(source, positions, out):
    for i in range(positions.size):
        out[i] = source[positions[i]]


@compiled(fastmath=True)
def _dot(a, b):
    total = np.float32(0)
    for i in range(b.size):
        total += a[i] * b[i]
    return total
