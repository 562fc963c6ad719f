"""What a training step of weight fixing does with the gradients: pull towards the centres, hold still what is fixed."""

import torch
from torch import Tensor

from wfn.parameters import FlatWeights
from wfn.penalty import Penalty


class FreeUpdate:
    """A step of Adam on the free weights; the others keep every bit.

    The gradient is that of the loss plus ``gamma`` times that of the penalty of Eq. 4, where ``gamma = alpha * loss /
    penalty`` is a constant (section 3, "Cosying up to Clusters"); it makes the penalty's own scale immaterial, a sum
    over the weights or their mean. Its norm over the free weights is clipped.

    A fixed weight's gradient is zero from the first step on, so its moments, and with them Adam's update, are zero.

    Args:
        weights: the network's weights.
        free: float32 [n], 1 where a weight may move, 0 where not.
        optimiser: Adam without weight decay, on ``weights.values``, new since the last weight was fixed.
        penalty: of the centres chosen so far; None turns the regulariser off.
        alpha: weight of the regulariser against the loss.
        clip_norm: largest norm of the gradient.
    """

    def __init__(
        self,
        weights: FlatWeights,
        free: Tensor,
        optimiser: torch.optim.Adam,
        penalty: Penalty | None,
        alpha: float,
        clip_norm: float,
    ) -> None:
        self._values, self._gradient = weights.values.data, weights.values.grad
        self._free, self._optimiser = free, optimiser
        self._penalty, self._alpha, self._clip_norm = penalty, alpha, clip_norm
        self._fixable = slice(weights.fixable)
        self._slope = torch.empty_like(self._values[self._fixable])
        self._penalties = torch.zeros((), dtype=torch.float64, device=free.device)
        self._steps = 0

    def __call__(self, loss: Tensor) -> None:
        """Take one step; the gradients of ``loss`` are in ``weights.values.grad``."""
        if self._penalty:
            fixable = self._fixable
            value, slope = self._penalty.value_and_gradient(self._values[fixable], self._free[fixable], self._slope)
            gamma = torch.where(value > 0, self._alpha * loss / value, 0.0)
            self._gradient[fixable].addcmul_(slope, gamma.to(slope.dtype))
            self._penalties += value
        self._gradient.mul_(self._free)
        self._gradient.mul_((self._clip_norm / (self._gradient.norm() + 1e-6)).clamp(max=1))
        self._optimiser.step()
        self._steps += 1

    def mean_penalty(self) -> float:
        """Eq. 4 over the free weights, mean over them and over the steps since it was asked for last; 0 without."""
        weights = float(self._free[self._fixable].sum())
        mean = float(self._penalties) / max(self._steps * weights, 1.0)
        self._penalties.zero_()
        self._steps = 0
        return mean
