"""One epoch of training with the fixed weights held still, and evaluation."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn import functional

from wfn.errors import UserError
from wfn.parameters import FlatWeights
from wfn.penalty import Penalty

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Score:
    """How well a network does: ``top1`` and ``top5`` in percent, ``loss`` as mean cross-entropy in nats."""

    top1: float
    top5: float
    loss: float


def evaluate(model: nn.Module, batches: Iterable, device: torch.device, precision: str = "float32") -> Score:
    """Score ``model`` in eval mode on ``batches`` of (inputs, labels); with under five classes top5 counts them all."""
    was_training = model.training
    model.eval()
    sums, samples = torch.zeros(3, dtype=torch.float64, device=device), 0
    with torch.no_grad():
        for inputs, labels in batches:
            inputs, labels = to_device(inputs, device), labels.to(device)
            with autocast(device, precision):
                outputs = model(inputs)
            outputs = outputs.float()
            ranked = outputs.topk(min(5, outputs.shape[1])).indices == labels[:, None]
            sums[0] += ranked[:, 0].sum()
            sums[1] += ranked.sum()
            sums[2] += functional.cross_entropy(outputs, labels, reduction="sum")
            samples += len(labels)
    model.train(was_training)
    top1, top5, loss = (sums / samples).tolist()
    return Score(100 * top1, 100 * top5, loss)


def check_outputs(model: nn.Module, example: Tensor, classes: int) -> None:
    """Raise :class:`UserError` unless ``model`` gives a score for each of ``classes`` for an ``example`` [1, ...]."""
    was_training = model.training
    with torch.no_grad():
        outputs = model.eval()(example)
    model.train(was_training)
    shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    if not isinstance(outputs, Tensor) or outputs.dim() != 2 or outputs.shape[1] < classes:
        raise UserError(f"the network must give {classes} scores an input for labels 0..{classes - 1}, but gives {shape}")


@dataclass(frozen=True)
class Regulariser:
    """Eq. 4's penalty for one set of centres, weighed against the loss by ``alpha``."""

    penalty: Penalty
    alpha: float

    def add_gradient(self, weights: Tensor, gradient: Tensor, free: Tensor, loss: Tensor) -> Tensor:
        """Add ``gamma`` times the gradient of the penalty of the free weights; return the penalty.

        ``gamma = alpha * loss / penalty``, a constant for the gradient (section 3, "Cosying up to Clusters"). It makes
        the scale of the penalty immaterial, a sum over the weights or their mean.

        Args:
            weights, gradient: float32 [n]; ``gradient`` is changed in place.
            free: float32 [n], 1 for a free weight, 0 for a fixed one.
            loss: the cross-entropy, a scalar.
        """
        penalty, slope = self.penalty.value_and_gradient(weights, free)
        gamma = torch.where(penalty > 0, self.alpha * loss.detach() / penalty, 0.0).to(slope.dtype)
        gradient.addcmul_(slope, gamma)
        return penalty


def train_epoch(
    model: nn.Module,
    weights: FlatWeights,
    free: Tensor,
    batches: Iterable,
    optimiser: torch.optim.Optimizer,
    regulariser: Regulariser | None,
    clip_norm: float,
    precision: str,
    on_step: Callable[[int], None],
) -> dict[str, float]:
    """Train the free weights on one pass over ``batches``; the others keep every bit.

    A fixed weight's gradient is zero from the optimiser's first step on, so its moments, and Adam's update, are zero.

    Args:
        weights: the weights of ``model``; ``optimiser`` works on ``weights.values`` and has no weight decay.
        free: float32 [n], 1 where a weight may move, 0 where not.
        clip_norm: largest norm of the whole gradient.
        on_step: called with the number of each step done, 1, 2, ...

    Returns:
        ``train_loss`` (nats a sample), ``train_top1`` (percent), ``penalty`` (Eq. 4, mean over the free weights and the
        steps; 0 without a regulariser) and ``training_seconds``.

    Raises:
        UserError: the loss is no longer finite.
    """
    begin = perf_counter()
    values, gradient = weights.values, weights.values.grad
    device, fixable = values.device, slice(weights.fixable)
    sums, penalties = torch.zeros(2, device=device, dtype=torch.float64), torch.zeros((), device=device)
    samples = steps = 0
    model.train()
    for inputs, labels in batches:
        inputs, labels = to_device(inputs, device), labels.to(device)
        gradient.zero_()
        with autocast(device, precision):
            outputs = model(inputs)
            loss = functional.cross_entropy(outputs, labels)
        loss.backward()
        if regulariser:
            penalties += regulariser.add_gradient(values.data[fixable], gradient[fixable], free[fixable], loss)
        gradient.mul_(free)
        gradient.mul_((clip_norm / (gradient.norm() + 1e-6)).clamp(max=1))
        optimiser.step()
        sums[0] += loss.detach() * len(labels)
        sums[1] += (outputs.argmax(1) == labels).sum()
        samples += len(labels)
        steps += 1
        on_step(steps)
    loss, correct = (sums / samples).tolist()
    if not torch.isfinite(sums[0]):
        raise UserError(f"training diverged (loss {loss}): lower learning_rate or alpha, or use precision=float32")
    return {
        "train_loss": loss,
        "train_top1": 100 * correct,
        "penalty": float(penalties) / steps / max(float(free[fixable].sum()), 1.0),
        "training_seconds": perf_counter() - begin,
    }


def to_device(inputs: Tensor, device: torch.device) -> Tensor:
    """Inputs on the device, images in channels-last order."""
    layout = torch.channels_last if inputs.dim() == 4 else torch.preserve_format
    return inputs.to(device, memory_format=layout)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which a forward pass runs at one of ``PRECISIONS``."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
