"""What a training step does with the gradients, a way a file; :class:`Update` is what each of them offers."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor


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
    """Give an optimiser of torch what :func:`moments_of` gave."""
    if state:
        optimiser.state[parameter] = {name: moment.to(parameter.device) for name, moment in state.items()}
