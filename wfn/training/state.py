"""Where a run stands between two epochs: saved after each, and gone on from."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from wfn.codebooks.codebook import Codebook
from wfn.errors import UserError
from wfn.system import ranks
from wfn.training.checkpoint import Checkpoint

BUFFER, MOMENT = "buffer.", "adam."  # what the names of these tensors begin with


@dataclass
class State:
    """How far a run has come.

    Attributes:
        codebook: the centres, and which weight is fixed to which.
        iteration: the one in progress, from 1.
        epoch: how many epochs of its training stage are done.
        records: one row for each iteration that is done.
        moments: what Adam had kept of the training stage in progress, when the state was loaded.
    """

    codebook: Codebook
    iteration: int = 1
    epoch: int = 0
    records: list[dict[str, float]] = field(default_factory=list)
    moments: dict[str, Tensor] = field(default_factory=dict)


def save(
    checkpoint: Checkpoint,
    identity: dict[str, object],
    state: State,
    model: nn.Module,
    values: Tensor,
    optimiser: torch.optim.Adam | None = None,
) -> None:
    """Write all that is needed to go on as if nothing had happened.

    Args:
        checkpoint: where to.
        identity: what must be the same in the run that goes on.
        state: how far the run is.
        model: the network, for its buffers.
        values: the weights, or the values that they share.
        optimiser: of the training stage in progress, if one is.
    """
    moments = next(iter(optimiser.state.values()), {}) if optimiser else {}
    tensors = {
        "values": values.detach(),
        "assignment": torch.from_numpy(state.codebook.assignment),
        **{f"{BUFFER}{name}": buffer for name, buffer in model.named_buffers()},
        **{f"{MOMENT}{name}": moment for name, moment in moments.items()},
    }
    record = {
        "identity": identity,
        "centres": state.codebook.centres,
        "iteration": state.iteration,
        "epoch": state.epoch,
        "records": state.records,
    }
    checkpoint.save({name: tensor.contiguous() for name, tensor in tensors.items()}, record)


def load(checkpoint: Checkpoint, identity: dict[str, object], model: nn.Module, values: Tensor) -> State | None:
    """Put the buffers and ``values`` where the checkpoint has them; None where nothing was saved yet.

    Raises:
        UserError: the checkpoint is of a run with another ``identity``.
    """
    saved = ranks.from_first(checkpoint.load)
    if not saved:
        return None
    tensors, record = saved
    then = record.pop("identity")
    other = [f"{key} was {then.get(key)!r}, is {now!r}" for key, now in identity.items() if then.get(key) != now]
    if other:
        raise UserError(f"{checkpoint.path} is of other settings ({'; '.join(other)}): give those, or start anew")
    values.data.copy_(tensors["values"])
    for name, buffer in model.named_buffers():
        buffer.copy_(tensors[BUFFER + name])
    moments = {name.removeprefix(MOMENT): t for name, t in tensors.items() if name.startswith(MOMENT)}
    return State(Codebook(tensors["assignment"].numpy(), record.pop("centres")), moments=moments, **record)


def restore(optimiser: torch.optim.Adam, state: State) -> None:
    """Give an optimiser of one tensor the moments that ``state`` was loaded with, if it has any; once."""
    if state.moments:
        (parameter,) = optimiser.param_groups[0]["params"]
        optimiser.state[parameter] = {name: moment.to(parameter.device) for name, moment in state.moments.items()}
        state.moments = {}
