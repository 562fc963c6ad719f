"""The free weights' way out of the flat vector and back by tensor operations: for an accelerator."""

import torch
from torch import Tensor

from wfn.regulariser.penalty import Penalty


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
        target.index_copy_(0, self._positions, values)
