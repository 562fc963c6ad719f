"""What a training step of weight fixing does with the gradients: pull towards the centres, move only what is free."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from wfn.regulariser.penalty import Penalty
from wfn.training.flat_weights import FlatWeights
from wfn.training.updates import give_moments, moments_of


class FreeUpdate:
    """A step of Adam on the free weights. The others are not in it, so they keep every bit.

    The gradient is that of the loss plus ``gamma`` times that of the penalty of Eq. 4. ``gamma = alpha * |loss| /
    penalty`` is computed anew at every step and treated as a constant in the gradient (section 3, "Cosying up to
    Clusters"), so that the penalty's own scale, a sum over the weights or their mean, is immaterial. The gradient's
    norm is clipped.

    Differs: the paper has the loss itself, cross-entropy, in place of its magnitude. One below zero, as of a
    log-density, would have the regulariser push weights away from the centres.

    The free weights are held apart, in one vector that shrinks from iteration to iteration, and so does the cost.

    Args:
        weights: the network's weights.
        free: bool [n], True where a weight may move.
        learning_rate: of Adam.
        penalty: of the centres chosen so far; None turns the regulariser off.
        alpha: weight of the regulariser against the loss.
        clip_norm: largest norm of the gradient.
    """

    def __init__(
        self,
        weights: FlatWeights,
        free: Tensor,
        *,
        learning_rate: float,
        penalty: Penalty | None,
        alpha: float,
        clip_norm: float,
    ) -> None:
        self._weights, self._alpha, self._clip_norm = weights, alpha, clip_norm
        positions = free.nonzero().flatten()
        self._values = nn.Parameter(weights.values.data.index_select(0, positions))
        self._values.grad = torch.empty_like(self._values)
        self._drawn = int(free[: weights.fixable].sum())  # the first ones; batch-norm that is left alone comes after
        if free.device.type == "cpu":
            from wfn.training.updates.compiled import KernelFree as Free
        else:
            from wfn.training.updates.tensors import TensorFree as Free
        self._free = Free(positions, self._drawn, penalty)
        self._penalties = torch.zeros((), dtype=torch.float64, device=free.device)
        self._steps = 0
        self._optimiser = torch.optim.Adam([self._values], lr=learning_rate, fused=True)

    def before(self, step: int) -> None:
        """Nothing: the network computes with the weights as they are."""

    def after(self, loss: Tensor) -> None:
        """Take one step; the gradients of ``loss`` are in ``weights.values.grad``."""
        values, everything = self._values.data, self._weights.values
        self._penalties += self._free.gather(
            everything.grad, values, self._values.grad, loss, self._alpha, self._clip_norm
        )
        self._optimiser.step()
        self._free.scatter(values, everything.data)
        self._steps += 1

    def state_dict(self) -> dict[str, Tensor]:
        """Adam's moments of the free weights, and its step."""
        return moments_of(self._optimiser, self._values)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave."""
        give_moments(self._optimiser, self._values, state)

    def mean_penalty(self) -> float:
        """Eq. 4, mean over the free weights and over the steps since it was asked for last; 0 without a regulariser."""
        mean = float(self._penalties) / max(self._steps * self._drawn, 1)
        self._penalties.zero_()
        self._steps = 0
        return mean
