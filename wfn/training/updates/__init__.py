"""What a training step does with the gradients, a way a file; :class:`Update` is what each of them offers."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

NEVER_NEGATIVE = ("step", "exp_avg_sq")  # among an optimiser's moments


class Update(Protocol):
    """What happens before and after the passes of a training step.

    An update knows its own weights and its own optimiser; the training loop and the checkpoint know neither.
    """

    def before(self, step: int) -> None:
        """Prepare step 1, 2, ... of an epoch: a network whose weights are drawn anew draws them here."""
        ...

    def after(self, loss: Tensor) -> None:
        """Take the step: the gradients of ``loss``, a scalar, are in the flat weights' ``grad``."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """All that the steps to come depend on, the weights themselves apart."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave."""
        ...


def moments_of(optimiser, parameter: Tensor) -> dict[str, Tensor]:
    """What an optimiser of torch remembers of ``parameter``, by name; nothing before its first step."""
    return {name: value for name, value in optimiser.state.get(parameter, {}).items() if isinstance(value, Tensor)}


def give_moments(optimiser, parameter: Tensor, state: Mapping[str, Tensor]) -> None:
    """Give an optimiser of torch what :func:`moments_of` gave.

    Its kernels trust shapes and dtypes: a moment that is shorter than its parameter would have them run past its end.

    Raises:
        ValueError: these are no moments that this optimiser would have of ``parameter``.
    """
    if not state:
        return
    expected = _moments_after_a_step(optimiser, parameter)
    if state.keys() != expected.keys():
        raise ValueError(f"moments must be {', '.join(sorted(expected)) or 'none'}, but are {', '.join(sorted(state))}")
    for name, moment in state.items():
        shape = parameter.shape if expected[name].dim() else expected[name].shape
        if moment.shape != shape or moment.dtype != expected[name].dtype:
            raise ValueError(f"moment {name} is {moment.dtype} {list(moment.shape)} and should be {list(shape)}")
        if not moment.isfinite().all() or (name in NEVER_NEGATIVE and (moment < 0).any()):
            raise ValueError(f"moment {name} holds numbers that no step leaves")
    optimiser.state[parameter] = {name: moment.to(parameter.device) for name, moment in state.items()}


def _moments_after_a_step(optimiser, parameter: Tensor) -> dict[str, Tensor]:
    """What such an optimiser remembers of a parameter of one number: the names, the dtypes, and which are scalars."""
    number = torch.nn.Parameter(torch.zeros(1, dtype=parameter.dtype, device=parameter.device))
    number.grad = torch.zeros_like(number)
    other = type(optimiser)([number], **optimiser.defaults)
    other.step()
    return moments_of(other, number)
