"""Evaluating the penalty's table on the CPU: one compiled pass over the weights."""

import numba
import numpy as np
import torch
from torch import Tensor

from wfn.penalty_table import BINS, Table

_CHUNK = 8192  # weights that one thread takes at a time


class KernelEvaluation:
    """Gives a weight its F and F' from ``table``; the very first call compiles the kernel, which is kept on disk."""

    def __init__(self, table: Table) -> None:
        # A row a piece, padded to half a cache line: a weight then touches one or two lines of the table.
        pieces = np.zeros((table.pieces.shape[1], 8), np.float32)
        pieces[:, : len(table.pieces)] = table.pieces.T
        self._table = (table.entries, np.array(table.steps, np.int32), table.ahead, pieces)

    def __call__(self, weights: Tensor, gradient: Tensor, values: Tensor | None) -> Tensor:
        """Write F' into ``gradient`` and, where given, F into ``values`` (float32 [N] each); return the sum of F."""
        threads = torch.get_num_threads()
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        weights = weights.detach().numpy()
        out = np.empty(0, np.float32) if values is None else values.numpy()
        total = _evaluate(weights, weights.view(np.int32), *self._table, gradient.numpy(), out)
        if torch.get_num_threads() != threads:  # numba's start sets OpenMP's number, and with it torch's
            torch.set_num_threads(threads)
        return torch.tensor(total, dtype=torch.float64)


# Without fastmath the compiler may neither fuse nor reorder: the same weights then give the same bits wherever they lie
# in memory, and the loop is not turned into vector gathers, which are slower here than plain loads.
@numba.njit(parallel=True, cache=True, error_model="numpy")
def _evaluate(weights, bits, entries, steps, ahead, pieces, gradient, values):
    total = 0.0
    for chunk in numba.prange((weights.size + _CHUNK - 1) // _CHUNK):
        subtotal = 0.0
        for i in range(chunk * _CHUNK, min(weights.size, (chunk + 1) * _CHUNK)):
            # int32 on purpose: the sum has to wrap as 32 bits do
            piece = np.int32(entries[(bits[i] >> 16) + BINS // 2] + bits[i]) >> 16
            for j in range(steps.size):
                piece += steps[j] * (bits[i] >= ahead[j, piece])
            t = weights[i] - pieces[piece, 0]
            linear, cubic = pieces[piece, 2], pieces[piece, 4]
            higher = pieces[piece, 3] + t * cubic
            value = pieces[piece, 1] + t * (linear + t * higher)
            gradient[i] = linear + t * (higher + (higher + t * cubic))
            if values.size:
                values[i] = value
            subtotal += value
        total += subtotal
    return total
