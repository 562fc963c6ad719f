"""What a training step does with the gradients where the network computes with quantised weights: move latent ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import Protocol

import torch
from torch import Tensor, nn

from wfn.training.checkpoint import of, under
from wfn.training.flat_weights import FlatWeights
from wfn.training.updates import give_moments, moments_of


class Quantiser(Protocol):
    """What makes the values that the network computes with out of latent ones."""

    def quantise(self, latent: Tensor, out: Tensor) -> None:
        """Write the value of each ``latent`` weight, float32 [n], to ``out``, float32 [n]."""
        ...

    def backward(self, latent: Tensor, gradient: Tensor) -> None:
        """Turn the ``gradient`` of the values, in place, into that of the ``latent`` weights; fill its own ones'."""
        ...

    def learned(self) -> Sequence[nn.Parameter]:
        """What it learns beside the latent weights, each with a ``grad``; not decayed."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """All that its values to come depend on, what is learned included."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave."""
        ...


@dataclass(frozen=True)
class Descent:
    """Stochastic gradient descent, with Nesterov's momentum where there is any.

    Attributes:
        learning_rate: of the first step.
        momentum: from 0 to below 1.
        weight_decay: added to the gradient, times the latent weight; frozen weights have none.
        steps: of the whole training, 1 or more.
        cosine: whether the learning rate falls to 0 along half a cosine (Loshchilov & Hutter, SGDR, ICLR 2017, without
            restarts); otherwise it stays.
        averaged_share: of the steps, the last ones, over which latent weights are averaged (Izmailov et al., Averaging
            Weights Leads to Wider Optima, UAI 2018); 0 takes the last step's.
    """

    learning_rate: float
    momentum: float
    weight_decay: float
    steps: int
    cosine: bool
    averaged_share: float

    def rate_at(self, done: int) -> float:
        """The learning rate of the step after ``done`` ones."""
        return self.learning_rate * (1 + cos(pi * min(done / self.steps, 1))) / 2 if self.cosine else self.learning_rate

    def is_averaged(self, done: int) -> bool:
        """Whether what the latent weights are after ``done`` steps is part of the average."""
        return done > round(self.steps * (1 - self.averaged_share))


class StraightThrough:
    """A step on latent weights by the gradient of the values that they are quantised to.

    Source: Bengio, Leonard & Courville, Estimating or Propagating Gradients Through Stochastic Neurons, 2013; with
    latent weights kept as Courbariaux, Bengio & David, BinaryConnect, NeurIPS 2015, do.

    Differs: frozen parameters (``requires_grad=False``) are quantised, too, but their latent values stay.

    Args:
        weights: the network's weights; each takes its quantised value at once.
        quantiser: of those.
        descent: how latent weights move.
    """

    def __init__(self, weights: FlatWeights, quantiser: Quantiser, descent: Descent) -> None:
        self._weights, self._quantiser, self._descent = weights, quantiser, descent
        self._latent = nn.Parameter(weights.values.data.clone())
        self._latent.grad = weights.values.grad
        self._frozen = None if weights.trainable.all() else ~weights.trainable
        self._average = torch.zeros_like(self._latent.data) if descent.averaged_share else None
        self._done = self._averaged = 0
        self._moving = [self._latent, *quantiser.learned()]
        decay = descent.weight_decay if self._frozen is None else 0.0  # frozen weights are kept from it, here below
        groups = [{"params": [self._latent], "weight_decay": decay, "fused": True}, {"params": self._moving[1:]}]
        self._optimiser = torch.optim.SGD(
            groups, lr=descent.learning_rate, momentum=descent.momentum, nesterov=descent.momentum > 0
        )
        self._hand_out()

    @property
    def latent(self) -> Tensor:
        """The latent weights, float32 [n]."""
        return self._latent.data

    def before(self, step: int) -> None:
        """Nothing: every weight has its quantised value."""

    def after(self, loss: Tensor) -> None:
        """Take one step; the gradients of ``loss`` are in ``weights.values.grad``."""
        gradient, latent = self._weights.values.grad, self._latent.data
        self._quantiser.backward(latent, gradient)
        if self._frozen is not None:
            gradient.add_(latent, alpha=self._descent.weight_decay).masked_fill_(self._frozen, 0)
        for group in self._optimiser.param_groups:
            group["lr"] = self._descent.rate_at(self._done)
        self._optimiser.step()
        self._done += 1
        if self._average is not None and self._descent.is_averaged(self._done):
            self._averaged += 1
            self._average.lerp_(latent, 1 / self._averaged)
        self._hand_out()

    def finish(self) -> None:
        """Let the latent weights be their average, where there is one, and quantise them anew."""
        if self._averaged:
            self._latent.data.copy_(self._average)
        self._hand_out()

    def state_dict(self) -> dict[str, Tensor]:
        """Latent weights, their average, momenta, the quantiser's own, and how many steps are done."""
        state = {"latent": self._latent.data, "steps": torch.tensor([self._done, self._averaged])}
        if self._average is not None:
            state["average"] = self._average
        for number, parameter in enumerate(self._moving):
            state |= under(f"moment.{number}.", moments_of(self._optimiser, parameter))
        return state | under("quantiser.", self._quantiser.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave; the network's weights are left to whoever gives them."""
        done, averaged = state["steps"].tolist()
        if not 0 <= averaged <= done <= self._descent.steps:
            raise ValueError(
                f"steps must be {self._descent.steps} at most, but are {done}, {averaged} of them averaged"
            )
        self._latent.data.copy_(state["latent"])
        self._done, self._averaged = done, averaged
        if self._average is not None:
            self._average.copy_(state["average"])
        for number, parameter in enumerate(self._moving):
            give_moments(self._optimiser, parameter, of(f"moment.{number}.", state))
        self._quantiser.load_state_dict(of("quantiser.", state))

    def _hand_out(self) -> None:
        self._quantiser.quantise(self._latent.data, self._weights.values.data)
