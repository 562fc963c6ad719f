"""Where a run stands between two epochs: saved after each, and gone on from."""

from dataclasses import asdict, dataclass, field

import torch
from torch import nn

from wfn.checkpoint import Checkpoint
from wfn.codebook import Codebook
from wfn.errors import UserError
from wfn.parameters import FlatWeights

MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what Adam keeps


@dataclass
class State:
    """How far a run has come.

    Attributes:
        codebook: the centres, and which weight is fixed to which.
        iteration: the one in progress, from 1.
        epoch: how many epochs of its training stage are done.
        records: one row for each iteration that is done.
    """

    codebook: Codebook
    iteration: int = 1
    epoch: int = 0
    records: list[dict[str, float]] = field(default_factory=list)


def save(
    checkpoint: Checkpoint,
    identity: dict[str, object],
    state: State,
    model: nn.Module,
    weights: FlatWeights,
    optimiser: torch.optim.Adam,
) -> None:
    """Write all that :func:`load` needs to go on as if nothing had happened; ``identity`` says which run it is."""
    moments = optimiser.state.get(weights.values, {})
    tensors = {
        "values": weights.values.data,
        "assignment": torch.from_numpy(state.codebook.assignment),
        **{f"buffer.{name}": buffer for name, buffer in model.named_buffers()},
        **{f"adam.{name}": moment for name, moment in moments.items()},
    }
    progress = {name: value for name, value in asdict(state).items() if name != "codebook"}
    record = {"identity": identity, "centres": state.codebook.centres, **progress}
    checkpoint.save({name: tensor.contiguous() for name, tensor in tensors.items()}, record)


def load(
    checkpoint: Checkpoint,
    identity: dict[str, object],
    model: nn.Module,
    weights: FlatWeights,
    optimiser: torch.optim.Adam,
) -> State | None:
    """Put network, weights and optimiser where the checkpoint has them; None where nothing was saved yet.

    Raises:
        UserError: the checkpoint is of a run with another ``identity``.
    """
    saved = checkpoint.load()
    if not saved:
        return None
    tensors, record = saved
    other = [f"{key} was {then!r}, is {identity.get(key)!r}" for key, then in record.pop("identity").items()
             if then != identity.get(key)]
    if other:
        raise UserError(f"{checkpoint.path} is of other settings ({'; '.join(other)}): give those, or start anew")
    weights.values.data.copy_(tensors["values"])
    for name, buffer in model.named_buffers():
        buffer.copy_(tensors[f"buffer.{name}"])
    if "adam.step" in tensors:
        optimiser.state[weights.values] = {name: tensors[f"adam.{name}"].to(weights.values.device) for name in MOMENTS}
    return State(Codebook(tensors["assignment"].numpy(), record.pop("centres")), **record)
