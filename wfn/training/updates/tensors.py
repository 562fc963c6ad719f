"""What updates do with the flat vector by tensor operations: for an accelerator."""

import torch
from torch import Tensor

from wfn.regulariser.penalty import Penalty
from wfn.system.torch_context import any_order


class TensorFree:
    """Gathers the gradient of the free weights and scatters their values; nothing waits for the device."""

    def __init__(self, positions: Tensor, drawn: int, penalty: Penalty | None) -> None:
        self._positions, self._drawn, self._penalty = positions, drawn, penalty
        self._slope = torch.empty(drawn, device=positions.device)

    def gather(
        self, source: Tensor, values: Tensor, gradient: Tensor, loss: Tensor, alpha: float, clip_norm: float
    ) -> Tensor | float:
        """Fill ``gradient`` and return the penalty's sum."""
        torch.index_select(source, 0, self._positions, out=gradient)
        penalty = 0.0
        if self._penalty:
            penalty, slope = self._penalty.value_and_gradient(values[: self._drawn], self._slope)
            gamma = torch.where(penalty > 0, alpha * loss.abs() / penalty, 0.0)
            gradient[: self._drawn].addcmul_(slope, gamma.to(slope.dtype))
        gradient.mul_((clip_norm / (gradient.norm() + 1e-6)).clamp(max=1))
        return penalty

    def scatter(self, values: Tensor, target: Tensor) -> None:
        """Write the free weights' ``values`` to where they stand in ``target``."""
        with any_order():  # no two stand in one place
            target.index_copy_(0, self._positions, values)


class TensorSums:
    """Sums over the weights that share a value: the same bits every time, without a sort at every step.

    Args:
        assignment: integers [n], for each weight the index of its value.
        size: k, how many values there are.
    """

    def __init__(self, assignment: Tensor, size: int) -> None:
        self._order = assignment.argsort(stable=True)
        self._lengths = torch.zeros(size, dtype=torch.int64, device=assignment.device)
        with any_order():  # of ones, whose sum has no rounding
            self._lengths.index_add_(0, assignment, torch.ones_like(assignment, dtype=torch.int64))

    def of(self, weights: Tensor) -> Tensor:
        """Float32 [k], of what each weight has in ``weights``, float32 [n]; 0 for a value that no weight has."""
        return torch.segment_reduce(weights.index_select(0, self._order), "sum", lengths=self._lengths, unsafe=True)
