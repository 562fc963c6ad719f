"""In which order of dimensions images go through a network: channels last, which is faster, where it runs at all."""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from wfn.networks.forward_pass import left_alone
from wfn.networks.own.examples import few
from wfn.tasks.batches import call, mapped, tensors

log = logging.getLogger(__name__)
_MARK = "_runs_on_contiguous_images_alone"


def layout(model: nn.Module) -> torch.memory_format:
    """``torch.channels_last``, unless :func:`choose_layout` has found that ``model`` does not run on it."""
    return torch.contiguous_format if getattr(model, _MARK, False) else torch.channels_last


def choose_layout(model: nn.Module, batch: Any, run: Callable[[nn.Module, Any], object] = call) -> None:
    """Find out whether ``model`` runs with images and filters in channels-last order, and note it down in it.

    One that takes views of what a convolution gives (``x.view(len(x), -1)``) does not; then it gets everything in
    torch's own order, and a line says so. Where it runs in neither order, nothing is noted: the error is its own.

    Args:
        model: on its device; afterwards as it was, but for the note.
        batch: real inputs, at least two of them where there are, or whatever ``run`` takes.
        run: makes a pass; by default a call of ``model``.
    """
    filters = [parameter for parameter in model.parameters() if parameter.dim() == 4]
    if not filters or getattr(model, _MARK, False):
        return
    before = [parameter.data for parameter in filters]
    inputs = few(model, batch, 2, run)
    try:
        for parameter in filters:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        runs = _runs(model, inputs, run, torch.channels_last)
    finally:
        for parameter, values in zip(filters, before, strict=True):
            parameter.data = values
    if not runs and _runs(model, inputs, run, torch.contiguous_format):
        setattr(model, _MARK, True)
        log.info("network: it does not run in channels-last order, so all of it runs in torch's own")


def _runs(model: nn.Module, batch: Any, run: Callable[[nn.Module, Any], object], order: torch.memory_format) -> bool:
    """Whether a pass in eval mode and one in training mode come through."""
    laid_out = mapped(lambda tensor: tensor.contiguous(memory_format=order) if tensor.dim() == 4 else tensor, batch)
    device = next(model.parameters()).device
    for is_training in (False, True):
        try:
            with left_alone(model, device), torch.no_grad():
                model.train(is_training)
                run(model, laid_out)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):  # batch-norm in training, of a single input
                return False
        except Exception:  # whatever the network's own code raises
            return False
    return bool(tensors(batch))
