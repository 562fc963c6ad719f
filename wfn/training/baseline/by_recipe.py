"""Training a float network by its recipe: its curve, and where to go on once it was cut off."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from wfn.data import Data
from wfn.data.augmentation import cut_out
from wfn.data.passes import generators_of, on_device
from wfn.errors import UserError
from wfn.measures.evaluation.task_scores import task_scores
from wfn.networks.own.layout import layout
from wfn.system.torch_context import autocast
from wfn.tasks.batches import call, main_output
from wfn.training.baseline.kept import Curve
from wfn.training.baseline.recipe import optimiser_for, precision_of, recipe_for
from wfn.training.checkpoint import Checkpoint, of, restore, under
from wfn.training.epoch import enough_memory
from wfn.training.updates import give_moments, moments_of

log = logging.getLogger(__name__)
IMAGE_DIMENSIONS = 4  # of a batch
NETWORK, MOMENT, RANDOM = "network.", "moment.", "random."  # whose tensors of a checkpoint these names begin


class RecipeTraining:
    """A network on its way through the epochs of its recipe; what it draws at random is torch's.

    Cut off after an epoch and gone on with, it ends with the same bits.

    Args:
        model: changed in place, and left in evaluation mode.
        data: what to train on, inputs of one class each; what is held back is only looked at.
        device: where ``model`` is.
        epochs: how many there are.
        path: of the checkpoint, which is there while the training is cut off.
        shape: all that shapes the weights; a checkpoint of another is not gone on with.
    """

    def __init__(
        self, model: nn.Module, data: Data, device: torch.device, epochs: int, path: Path, shape: Mapping[str, object]
    ) -> None:
        self._model, self._data, self._device, self._epochs = model, data, device, epochs
        self._checkpoint, self._shape = Checkpoint(path), shape
        self._recipe = recipe_for(model)
        self._precision = precision_of(self._recipe, device)
        self._optimiser = optimiser_for(model, self._recipe)
        steps, warm_up = epochs * len(data.train), self._recipe.warm_up
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser,
            self._recipe.peak_learning_rate,
            total_steps=steps,
            pct_start=warm_up if warm_up * steps > 1 else 0.0,  # torch divides by its steps less 1
            cycle_momentum=False,
        )
        self._curve: list[dict[str, float]] = []

    def run(self) -> Curve:
        """Train for the epochs that are not done yet; one bar over all steps, or a line an epoch without a terminal.

        Returns:
            a row an epoch: ``train_loss``, and ``held_back_top1`` (percent) and ``held_back_loss`` where images are
            held back.

        Raises:
            UserError: the training diverged, or a checkpoint cannot be written.
        """
        self._resume()
        self._model.train()
        done, steps = len(self._curve), len(self._data.train)
        with tqdm(total=self._epochs * steps, initial=done * steps, desc="baseline", unit="step", disable=None,
                  leave=False) as bar:  # fmt: skip
            for epoch in range(done + 1, self._epochs + 1):
                loss = self._epoch(bar)
                if not math.isfinite(loss):
                    raise UserError(f"the baseline's training diverged in epoch {epoch}: give trained weights instead")
                self._curve.append({"train_loss": loss, **self._held_back()})
                bar.set_postfix(epoch=f"{epoch}/{self._epochs}", loss=f"{loss:.3f}")
                if bar.disable:
                    log.info("baseline: epoch %s/%s, loss %.3f", epoch, self._epochs, loss)
                if epoch < self._epochs:
                    self._save()
        self._model.eval()
        return self._curve

    def forget(self) -> None:
        """Remove the checkpoint: the network that it was for is kept."""
        self._checkpoint.path.unlink(missing_ok=True)

    def _epoch(self, bar: tqdm) -> float:
        """Train on one pass over the data; return the mean loss."""
        loss_sum = torch.zeros((), device=self._device)
        for inputs, labels in on_device(self._data.train, self._device, layout(self._model)):
            with enough_memory(len(labels)):
                loss = self._step(inputs, labels)
            loss_sum += loss
            bar.update()
        return float(loss_sum) / len(self._data.train)

    def _step(self, inputs: Any, labels: Tensor) -> Tensor:
        """Take a step on a batch; return its mean loss, a scalar."""
        if self._recipe.cutout and isinstance(inputs, Tensor) and inputs.ndim == IMAGE_DIMENSIONS:
            inputs = cut_out(inputs, self._recipe.cutout)
        with autocast(self._device, self._precision):
            scores = main_output(call(self._model, inputs))
            loss = F.cross_entropy(scores, labels, label_smoothing=self._recipe.label_smoothing)
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        self._schedule.step()
        return loss.detach()

    def _held_back(self) -> dict[str, float]:
        """What the network makes of the images held back; torch's random state is afterwards what it was."""
        if not self._data.validation:
            return {}
        with torch.random.fork_rng(devices=[]):
            scores = task_scores(self._model, self._data.task, self._data.validation, self._device, self._precision)
        self._model.train()
        return {f"held_back_{name}": scores[name] for name in ("top1", "loss")}

    def _save(self) -> None:
        moments = {
            f"{number}.{name}": tensor
            for number, parameter in enumerate(self._model.parameters())
            for name, tensor in moments_of(self._optimiser, parameter).items()
        }
        tensors = {
            **under(NETWORK, self._model.state_dict()),
            **under(MOMENT, moments),
            **under(RANDOM, self._random_state()),
        }
        self._checkpoint.save(tensors, {"shaped_by": self._shape, "curve": self._curve})

    def _random_state(self) -> dict[str, Tensor]:
        states = {"cpu": torch.get_rng_state()}
        own = {f"batches.{number}": one.get_state() for number, one in enumerate(generators_of(self._data.train))}
        of_device = {"cuda": torch.cuda.get_rng_state(self._device)} if self._device.type == "cuda" else {}
        return states | own | of_device

    def _give_random_state(self, states: Mapping[str, Tensor]) -> None:
        torch.set_rng_state(states["cpu"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"], self._device)
        for number, one in enumerate(generators_of(self._data.train)):
            one.set_state(states[f"batches.{number}"])

    def _resume(self) -> None:
        """Go to where the checkpoint says; where it cannot be used, that is told, and training begins anew."""
        if not self._checkpoint.path.exists():
            return
        network = {name: tensor.clone() for name, tensor in self._model.state_dict().items()}
        random = self._random_state()
        try:
            if saved := self._checkpoint.load():
                self._take(*saved)
                log.info("baseline: going on after epoch %s of %s", len(self._curve), self._epochs)
        except (UserError, ValueError, LookupError, RuntimeError, TypeError) as error:
            log.info("baseline: training from the beginning, for its checkpoint cannot be used: %s", error)
            self._model.load_state_dict(network)
            self._optimiser.state.clear()
            self._give_random_state(random)

    def _take(self, tensors: Mapping[str, Tensor], record: Mapping[str, object]) -> None:
        curve = record["curve"]
        if record["shaped_by"] != self._shape:
            raise ValueError("it is of another training")
        if not isinstance(curve, list) or not 0 < len(curve) < self._epochs:
            raise ValueError("it does not say how far the training was")
        restore(self._model, of(NETWORK, tensors))
        moments = of(MOMENT, tensors)
        for number, parameter in enumerate(self._model.parameters()):
            found = of(f"{number}.", moments)
            laid_out = {name: _like(parameter, moment) for name, moment in found.items()}
            give_moments(self._optimiser, parameter, laid_out)
        self._give_random_state(of(RANDOM, tensors))
        steps = len(curve) * len(self._data.train)
        self._schedule.load_state_dict({"last_epoch": steps - 1, "_step_count": steps})
        self._schedule.step()
        self._curve = curve


def _like(parameter: Tensor, moment: Tensor) -> Tensor:
    """A moment laid out in memory as its parameter is: other kernels may round otherwise."""
    return torch.empty_like(parameter).copy_(moment) if moment.shape == parameter.shape else moment
