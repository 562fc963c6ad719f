"""A few inputs of a batch, where a network takes them alone: nodes, say, cannot be parted from the rest of a graph."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from wfn.networks.forward_pass import left_alone
from wfn.tasks.batches import call, head, size, tensors

_MARK = "_takes_few_inputs_alone"


def few(model: nn.Module, batch: Any, count: int, run: Callable[[nn.Module, Any], object] = call) -> Any:
    """The first ``count`` inputs of a batch; all of it where ``model`` takes all of it, but not those alone.

    Which it is, is found out once for each count and form of inputs, and noted down in the network.

    Args:
        model: on its device; afterwards as it was, but for the note.
        batch: real inputs, or whatever ``run`` takes.
        count: of inputs.
        run: makes a pass; by default a call of ``model``.
    """
    part = head(batch, count)
    if size(batch) <= count:
        return part
    noted: dict[tuple, bool] = getattr(model, _MARK, {})
    form = count, *((tensor.dtype, tensor.shape[1:]) for tensor in tensors(batch))
    if form not in noted:
        takes_part = _runs(model, part, run)
        if not takes_part and not _runs(model, batch, run):
            return part
        noted = {**noted, form: takes_part}
        setattr(model, _MARK, noted)
    return part if noted[form] else batch


def _runs(model: nn.Module, batch: Any, run: Callable[[nn.Module, Any], object]) -> bool:
    """Whether a pass in eval mode comes through."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    try:
        with left_alone(model, device), torch.no_grad():
            run(model.eval(), batch)
    except Exception:  # whatever the network's own code raises
        return False
    return True
