"""A few inputs of a batch, where a network takes them alone: nodes, say, cannot be parted from the rest of a graph."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from wfn.networks.forward_pass import left_alone
from wfn.tasks.batches import call, head


def few(model: nn.Module, batch: Any, count: int, run: Callable[[nn.Module, Any], object] = call) -> Any:
    """The first ``count`` inputs of a batch; all of it where ``model`` takes all of it, but not those alone.

    Args:
        model: on its device; afterwards as it was.
        batch: real inputs, or whatever ``run`` takes.
        count: of inputs.
        run: makes a pass; by default a call of ``model``.
    """
    part = head(batch, count)
    return batch if not _runs(model, part, run) and _runs(model, batch, run) else part


def _runs(model: nn.Module, batch: Any, run: Callable[[nn.Module, Any], object]) -> bool:
    """Whether a pass in eval mode comes through."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    try:
        with left_alone(model, device), torch.no_grad():
            run(model.eval(), batch)
    except Exception:  # whatever the network's own code raises
        return False
    return True
