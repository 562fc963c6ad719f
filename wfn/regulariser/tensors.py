"""Evaluating the penalty's table with tensor operations alone: for weights that live on an accelerator."""

import torch
from torch import Tensor

from wfn.regulariser.table import BINS, PenaltyTable

_CHUNK = 2**22  # bounds the memory for what lies between weight and result


class TensorEvaluation:
    """Gives a weight its F and F' from ``table``, without waiting for the device."""

    def __init__(self, table: PenaltyTable, device: torch.device) -> None:
        self._entries, self._pieces = (torch.from_numpy(t).to(device) for t in (table.entries, table.pieces))
        self._ahead = list(zip(table.steps, torch.from_numpy(table.ahead).to(device), strict=True))

    def __call__(self, weights: Tensor, gradient: Tensor, values: Tensor | None) -> Tensor:
        """Write F' into ``gradient`` and, where given, F into ``values`` (float32 [N] each); return the sum of F."""
        total = torch.zeros((), dtype=torch.float64, device=weights.device)
        for begin in range(0, len(weights), _CHUNK):
            chunk = slice(begin, begin + _CHUNK)
            value = self._evaluate(weights[chunk], gradient[chunk])
            total += value.sum(dtype=torch.float64)
            if values is not None:
                values[chunk] = value
        return total

    def _evaluate(self, weights: Tensor, gradient: Tensor) -> Tensor:
        bits = weights.view(torch.int32)
        piece = self._entries.index_select(0, (bits >> 16) + BINS // 2).add_(bits) >> 16
        for step, boundaries in self._ahead:
            piece += step * (bits >= boundaries.index_select(0, piece))
        origin, constant, linear, quadratic, cubic = self._pieces.index_select(1, piece)
        offset = weights - origin
        higher = torch.addcmul(quadratic, offset, cubic)
        slope = torch.addcmul(higher, offset, cubic).add_(higher)
        torch.addcmul(linear, offset, slope, out=gradient)
        return torch.addcmul(constant, offset, torch.addcmul(linear, offset, higher))
