"""The trained network to start from, where a user gives no weights: trained once, then kept in the user's cache."""

import hashlib
import json
import logging
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import safetensors.torch
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

from wfn.data import Data
from wfn.errors import UserError
from wfn.networks.weights import load_weights
from wfn.system.files import held, in_home, write_atomically
from wfn.system.fingerprint import fingerprint

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent with Nesterov momentum, its learning rate up and down once.

    Count ``version`` up when anything else in the training changes: cached networks are then trained anew.
    """

    version: int = 1
    peak_learning_rate: float = 0.1
    warm_up: float = 0.2  # share of the steps in which the learning rate rises
    momentum: float = 0.9
    weight_decay: float = 5e-4
    epochs: ClassVar[int] = 30  # the name of a kept network has its own number


@dataclass(frozen=True)
class TransformerRecipe:
    """AdamW, its learning rate up and down once, as vision transformers are trained (Touvron et al., ICML 2021).

    Weight decay is for matrices and embeddings, not for biases and the scales of norms. ``version`` as above.
    """

    version: int = 1
    peak_learning_rate: float = 1e-3
    warm_up: float = 0.1  # share of the steps in which the learning rate rises
    weight_decay: float = 0.05
    epochs: ClassVar[int] = 12  # small_vit on CIFAR-10: about an hour on two cores, by the time of single steps


RECIPE = Recipe()
TRANSFORMER_RECIPE = TransformerRecipe()


def recipe_for(model: nn.Module) -> Recipe | TransformerRecipe:
    """The recipe by which a network of its kind is trained: one with layer-norm and without batch-norm, by AdamW."""
    modules = list(model.modules())
    is_transformer = any(isinstance(m, nn.LayerNorm) for m in modules) and not any(
        isinstance(m, _BatchNorm) for m in modules
    )
    return TRANSFORMER_RECIPE if is_transformer else RECIPE


def cache_folder() -> Path:
    """Return where trained baselines are kept: ``baselines`` in ``$WFN_CACHE``, or in ``~/.cache/wfn``."""
    return in_home(os.environ.get("WFN_CACHE") or "~/.cache/wfn", "WFN_CACHE") / "baselines"


def trained_baseline(
    model: nn.Module,
    network: str,
    data: Data,
    *,
    seed: int,
    device: torch.device | str,
    epochs: int = 0,
) -> tuple[Path, bool]:
    """Give ``model`` trained weights: those kept from an earlier call, or else it is trained now and they are kept.

    The file's name depends on all that shapes the weights: network and initial weights (so build the model at a fixed
    seed), data, batch size, seed, epochs, recipe, device (the GPU's name, or the CPU's instructions and the number of
    threads), torch's version. A file that does not load is trained anew. torch's generators are left as they were, so
    that a run goes the same way in both cases.

    Of several processes that need the same file one trains it, and the others wait; the lock
    (:func:`wfn.system.files.held`) is a file beside it.

    Args:
        model: the network with its initial weights; changed in place, moved to ``device``, left in evaluation mode.
        network: its name.
        data: what to train on; ``data.test`` is not touched.
        seed: settles the order of the batches and the augmentation.
        device: where to train; on CUDA in bfloat16 autocast, else in float32.
        epochs: how long to train; 0 for the recipe's: 30, of a transformer 12.

    Returns:
        the file, and whether it was there already.

    Raises:
        UserError: a negative number of epochs; the training diverged; the cache cannot be written.
    """
    if epochs < 0:
        raise UserError(f"baseline epochs must be 0 (for {recipe_for(model).epochs}) or more, but is {epochs}")
    epochs, device = epochs or recipe_for(model).epochs, torch.device(device)
    path = _path(model, network, data, seed=seed, device=device, epochs=epochs)
    model.to(device, memory_format=torch.channels_last).eval()
    kept = f"baseline: {network} trained on {data.name} before, from {path}"
    if path.exists() and not _reason_against(model, path, network):
        log.info(kept)
        return path, True
    _make_folder(path.parent)
    with _alone(path, f"{network} on {data.name}"):
        if path.exists():  # damaged, or another process has just trained it
            reason = _reason_against(model, path, network)
            log.info(f"baseline: training anew, for {reason}" if reason else kept)
            if not reason:
                return path, True
        log.info(
            "baseline: training %s on %s for %s epochs, once; it will be kept as %s", network, data.name, epochs, path
        )
        cuda_devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(cuda_devices):
            torch.manual_seed(seed)
            _train(model, data, device, epochs)
        _save(model, path)
    return path, False


def _reason_against(model: nn.Module, path: Path, network: str) -> str:
    """Load what is kept; empty, or why it cannot be used."""
    try:
        load_weights(model, str(path), network)
    except UserError as error:
        return str(error)
    return ""


@contextmanager
def _alone(path: Path, work: str) -> Iterator[None]:
    """Hold ``path`` against other processes that would train it, too; wait for one that does."""
    with ExitStack() as lock:
        try:
            waiting = "baseline: waiting for another process that trains %s, to take %s"
            lock.enter_context(held(path.with_suffix(".lock"), lambda: log.info(waiting, work, path)))
        except OSError as error:
            raise _unwritable(path.parent, error) from error
        yield


def _path(model: nn.Module, network: str, data: Data, *, seed: int, device: torch.device, epochs: int) -> Path:
    with torch.random.fork_rng(devices=[]):  # looking at a batch draws random numbers
        batch_size = len(next(iter(data.train))[1])
    shaped_by = {
        "network": network,
        "structure": repr(model),
        "initial weights": fingerprint(part for entry in model.state_dict().items() for part in entry),
        "data": data.fingerprint,
        "batch size": batch_size,
        "seed": seed,
        "epochs": epochs,
        "recipe": asdict(recipe_for(model)),
        "device": device.type,
        "processor": _processor(device),
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "torch": torch.__version__,
    }
    digest = hashlib.sha256(json.dumps(shaped_by, sort_keys=True).encode()).hexdigest()[:16]
    label = "".join(c if c.isalnum() or c in "_-." else "-" for c in f"{network}_{data.name}")[:100]
    return cache_folder() / f"{label}_{digest}.safetensors"


def _processor(device: torch.device) -> str:
    """What its bits depend on: the GPU's model, or the instructions that the CPU has."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()


def _train(model: nn.Module, data: Data, device: torch.device, epochs: int) -> None:
    """Train by the network's recipe; one bar over all steps, or a line an epoch where the output is no terminal."""
    steps = epochs * len(data.train)
    optimiser, recipe = _optimiser(model), recipe_for(model)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.peak_learning_rate, total_steps=steps, pct_start=recipe.warm_up, cycle_momentum=False
    )
    model.train()
    with tqdm(total=steps, desc="baseline", unit="step", disable=None, leave=False) as bar:
        for epoch in range(1, epochs + 1):
            loss_sum = torch.zeros((), device=device)
            for inputs, labels in data.train:
                with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                    scores = model(inputs.to(device, non_blocking=True))
                    loss = F.cross_entropy(scores, labels.to(device, non_blocking=True))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                loss_sum += loss.detach()
                bar.update()
            mean_loss = float(loss_sum) / len(data.train)
            if not math.isfinite(mean_loss):
                raise UserError(f"the baseline's training diverged in epoch {epoch}: give trained weights instead")
            bar.set_postfix(epoch=f"{epoch}/{epochs}", loss=f"{mean_loss:.3f}")
            if bar.disable:
                log.info("baseline: epoch %s/%s, loss %.3f", epoch, epochs, mean_loss)
    model.eval()


def _optimiser(model: nn.Module) -> torch.optim.Optimizer:
    recipe = recipe_for(model)
    if isinstance(recipe, TransformerRecipe):
        vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
        others = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
        groups = [{"params": others, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=recipe.peak_learning_rate)
    return torch.optim.SGD(
        model.parameters(),
        lr=recipe.peak_learning_rate,
        momentum=recipe.momentum,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _save(model: nn.Module, path: Path) -> None:
    contiguous = torch.contiguous_format
    state = {name: value.cpu().clone(memory_format=contiguous) for name, value in model.state_dict().items()}
    try:
        write_atomically(path, safetensors.torch.save(state))
    except OSError as error:
        raise _unwritable(path.parent, error) from error


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(f"baselines cannot be kept in {folder} ({error}): make room, or name another folder by WFN_CACHE")
