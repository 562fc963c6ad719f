"""What a training step does where every weight is drawn anew: step on the means, and on the deviations around them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from wfn.system.compiled import torch_threads
from wfn.training.flat_weights import FlatWeights
from wfn.training.updates import sampled_kernel as kernel

LEAST_DRAWN = 2.0**-30  # a smaller deviation, below zero perhaps, counts as this where a weight is drawn


class StepRules(NamedTuple):
    """How means and deviations move.

    Attributes:
        learning_rate: of SGD.
        momentum: of SGD.
        weight_decay: of means and deviations.
        clip_norm: largest norm of the gradient, by means and deviations together, the regulariser's pull included.
        regularisation: lambda, how strongly deviations are pulled towards ``limit``.
        limit: S.
        noise: whether weights are drawn at all; without, deviations stay as they are.
    """

    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    regularisation: float = 2.0**-11
    limit: float = 0.05
    noise: bool = True


class SampledWeights:
    """The flat weights, of which the fixable ones are drawn for each pass: ``mean + max(deviation, 2^-30) * eps``.

    No layer has to know of it, so every network can be trained so. After a step the network computes with the means.
    What is drawn depends on torch's seed at the first step of an epoch alone, so it is the same on every rank and
    after a resumption.

    A deviation's gradient is ``eps`` times its weight's; the regulariser takes ``lambda * relu(S - deviation) * |eps|``
    off it. Only free weights move, by neither gradient, momentum nor decay.

    Attributes:
        means: float32 [n], moved in place.
        deviations: float32 [f] of the fixable weights, moved in place.
        free: bool [n], the weights that may move.

    Args:
        weights: the network's weights.
        means, deviations, free: as above.
        pulled: bool [f], whose deviations the regulariser acts on.
        rules: how they move.
    """

    def __init__(
        self, weights: FlatWeights, means: Tensor, deviations: Tensor, free: Tensor, pulled: Tensor, rules: StepRules
    ) -> None:
        self.means, self.deviations, self.free = means, deviations, free
        self._weights, self._pulled, self._rules = weights, pulled, rules
        self._noise, self._speeds = torch.zeros_like(deviations), torch.zeros_like(means)
        self._deviation_speeds = torch.zeros_like(deviations)
        self._generator = torch.Generator(means.device)

    def shown(self) -> tuple[Tensor, Tensor]:
        """The means [n] and deviations [f] that the network computes with."""
        return self.means, self.deviations

    def before(self, step: int) -> None:
        """Draw the weights."""
        if not self._rules.noise:
            return
        if step == 1:
            seeds = np.random.SeedSequence((torch.initial_seed(), 1)).generate_state(1, np.uint64)
            self._generator.manual_seed(int(seeds[0] >> 1))
        self._noise.normal_(generator=self._generator)
        means, deviations = self.shown()
        draw(means[: len(deviations)], deviations, self._noise, self._weights.values.data[: len(deviations)])

    def after(self, loss: Tensor) -> None:
        """Take one step; the gradients of ``loss`` are in ``weights.values.grad``."""
        if self.means.device.type == "cpu":
            self._step_compiled()
        else:
            self._step_tensors()
        self._weights.values.data.copy_(self.shown()[0])

    def state_dict(self) -> dict[str, Tensor]:
        """The momenta; means and deviations are the method's to keep."""
        return {"speeds": self._speeds, "deviation_speeds": self._deviation_speeds}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave."""
        self._speeds.copy_(state["speeds"])
        self._deviation_speeds.copy_(state["deviation_speeds"])

    def _step_compiled(self) -> None:
        rules, single = self._rules, np.float32
        gradient, noise, free = self._weights.values.grad.numpy(), self._noise.numpy(), self.free.numpy()
        means, deviations, pulled = self.means.numpy(), self.deviations.numpy(), self._pulled.numpy()
        with torch_threads():
            least, limit, pull = (single(value) for value in (LEAST_DRAWN, rules.limit, rules.regularisation))
            square = kernel.squared_norm(gradient, noise, deviations, free, pulled, least, limit, pull)
            moved = deviations if rules.noise else deviations[:0]
            kernel.step(
                gradient, noise, means, moved, self._speeds.numpy(), self._deviation_speeds.numpy(), free, pulled,
                least, limit, single(self._scale(square**0.5)), single(rules.learning_rate), single(rules.momentum),
                single(rules.weight_decay), pull,
            )  # fmt: skip

    def _step_tensors(self) -> None:
        rules, size = self._rules, len(self.deviations)
        gradient = torch.where(self.free, self._weights.values.grad, 0.0)
        pull = rules.regularisation * (rules.limit - self.deviations).relu() * self._noise.abs()
        slopes = torch.where(self.deviations >= LEAST_DRAWN, gradient[:size] * self._noise, 0.0)
        slopes = torch.where(self.free[:size], slopes - torch.where(self._pulled, pull, 0.0), 0.0)
        scale = self._scale((gradient.square().sum() + slopes.square().sum()).sqrt())
        self._move(self.means, self._speeds, gradient * scale, self.free)
        if rules.noise:
            self._move(self.deviations, self._deviation_speeds, slopes * scale, self.free[:size])

    def _scale(self, norm):
        """By what the gradient is multiplied; NaN where the norm is."""
        clip = self._rules.clip_norm
        return (clip / (norm + 1e-6)).clamp(max=1) if isinstance(norm, Tensor) else clip / max(norm + 1e-6, clip)

    def _move(self, values: Tensor, speeds: Tensor, slopes: Tensor, free: Tensor) -> None:
        rules = self._rules
        moved = rules.momentum * speeds + (slopes + rules.weight_decay * values)
        speeds.copy_(torch.where(free, moved, speeds))
        values.sub_(torch.where(free, rules.learning_rate * speeds, 0.0))


def draw(means: Tensor, deviations: Tensor, noise: Tensor, values: Tensor) -> None:
    """Write ``means + max(deviations, 2^-30) * noise`` into ``values``; all float32 [f] on one device."""
    if means.device.type == "cpu":
        with torch_threads():
            kernel.draw(means.numpy(), deviations.numpy(), noise.numpy(), np.float32(LEAST_DRAWN), values.numpy())
    else:
        torch.addcmul(means, deviations.clamp(min=LEAST_DRAWN), noise, out=values)
