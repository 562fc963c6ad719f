"""The trained network to start from, where a user gives no weights: trained once, then kept in the user's cache."""

import logging
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from wfn.data import Data
from wfn.data.passes import generators_kept
from wfn.errors import UserError
from wfn.networks.own.layout import layout
from wfn.training.baseline.by_recipe import RecipeTraining
from wfn.training.baseline.kept import Curve, alone, keep, path_of, shaped_by, taken, tell_of_others
from wfn.training.baseline.recipe import recipe_for

log = logging.getLogger(__name__)


class Baseline(NamedTuple):
    """A float network that is kept.

    Attributes:
        path: of its file.
        curve: of its training, a row an epoch; empty where an older version has trained it.
    """

    path: Path
    curve: Curve


def trained_baseline(
    model: nn.Module,
    network: str,
    data: Data,
    *,
    seed: int,
    device: torch.device | str,
    epochs: int = 0,
) -> Baseline:
    """Give ``model`` trained weights: those kept from an earlier call, or else it is trained now and they are kept.

    The file's name depends on all that shapes the weights: network and initial weights (so build the model at a fixed
    seed), data, batch size, seed, epochs, recipe, device (the GPU's name, or the CPU's instructions and the number of
    threads), torch's version. The file says all that, too. One that does not load, or is of something else, is trained
    anew. Training that was cut off goes on after its last epoch, and ends with the same bits. torch's generators, and
    those that a loader has of its own, are left as they were, so that a run goes the same way in all these cases.

    Of several processes that need the same file one trains it, and the others wait; the lock
    (:func:`wfn.system.files.held`) is a file beside it.

    Args:
        model: the network with its initial weights; changed in place, moved to ``device``, left in evaluation mode.
        network: its name.
        data: what to train on, inputs of one class each; ``data.test`` is not touched.
        seed: settles the order of the batches and the augmentation.
        device: where to train; on CUDA in bfloat16 autocast, else in float32 unless the recipe says otherwise.
        epochs: how long to train; 0 for the recipe's: 30, of large networks 20, of a transformer 12.

    Raises:
        UserError: a negative number of epochs; the training diverged; the cache cannot be written.
    """
    if epochs < 0:
        raise UserError(f"baseline epochs must be 0 (for {recipe_for(model).epochs}) or more, but is {epochs}")
    epochs, device = epochs or recipe_for(model).epochs, torch.device(device)
    shape = shaped_by(model, network, data, seed=seed, device=device, epochs=epochs)
    path = path_of(shape, data)
    model.to(device, memory_format=layout(model)).eval()
    curve, reason = _kept(model, path, shape, data)
    if curve is not None:
        return Baseline(path, curve)
    with alone(path, f"{network} on {data.name}"):
        if path.exists():  # damaged, or another process has just trained it
            curve, reason = _kept(model, path, shape, data)
            if curve is not None:
                return Baseline(path, curve)
            log.info("baseline: training anew, for %s", reason)
        else:
            tell_of_others(path, shape, data)
        log.info(
            "baseline: training %s on %s for %s epochs, once; it will be kept as %s", network, data.name, epochs, path
        )
        cuda_devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(cuda_devices), generators_kept(data.train) as generators:
            torch.manual_seed(seed)
            for generator in generators:
                generator.manual_seed(seed)
            training = RecipeTraining(model, data, device, epochs, path.with_suffix(".checkpoint"), shape)
            curve = training.run()
        keep(model, path, shape, curve)
        training.forget()
    return Baseline(path, curve)


def _kept(model: nn.Module, path: Path, shape: dict[str, object], data: Data) -> tuple[Curve | None, str]:
    """The curve of the network that is kept, now in ``model``; else None, and why it cannot be used."""
    if not path.exists():
        return None, ""
    try:
        curve = taken(model, path, shape)
    except UserError as error:
        return None, str(error)
    log.info("baseline: %s trained on %s before, from %s", shape["network"], data.name, path)
    return curve, ""
