"""What methods that train have in common: iterations, each with a stage of training, saved after every epoch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from wfn.data import Data, as_data
from wfn.data.passes import check_divisible
from wfn.interface import (
    Epoch,
    Iteration,
    Observe,
    Quantised,
    Step,
)
from wfn.measures.accuracy import evaluate
from wfn.system import ranks
from wfn.training import state as states
from wfn.training.batch_norm import synchronised_batch_norm
from wfn.training.checkpoint import Checkpoint
from wfn.training.epoch import train_epoch
from wfn.training.flat_weights import counted_weights
from wfn.training.state import State

if TYPE_CHECKING:
    from wfn.methods.weight_fixing import WeightFixing
    from wfn.methods.weight_sharing import KMeansSharing


class Update(Protocol):
    """What a step of training does with the gradients, by an ``optimiser`` of its own."""

    optimiser: torch.optim.Adam

    def __call__(self, loss: Tensor) -> None: ...


class StagedRun(ABC):
    """One network on its way through the iterations of a method, told and saved; a method's own run builds on it.

    Attributes:
        weights: the network's counted weights.
        untouched: name -> their values before the method.
        state: how far the run is; the method's own run sets it.
        values: what training changes, and is saved: the weights, or the values that they share.
        update: the one in use, whose optimiser is saved as well; None where none is.
    """

    state: State
    values: Tensor
    update: Update | None = None

    def __init__(
        self,
        method: "WeightFixing | KMeansSharing",
        model: nn.Module,
        data: Data,
        observe: Observe,
        checkpoint: Checkpoint | None,
        fix_batch_norm: bool = True,
    ) -> None:
        self.method, self.model, self.data, self.observe, self.checkpoint = method, model, data, observe, checkpoint
        ranks.check_alike("data", data.fingerprint)
        check_divisible(data.train)
        self.weights = counted_weights(model, data, fix_batch_norm)
        ranks.spread([self.weights.values, *model.buffers()])
        self.untouched, self.values = self.weights.named(), self.weights.values

    @classmethod
    def carry_out(
        cls,
        method: "WeightFixing | KMeansSharing",
        model: nn.Module,
        data: object,
        observe: Observe,
        checkpoint: Path | None,
    ) -> Quantised:
        """Do what ``method.compress`` promises; torch's random state is afterwards what it was.

        Where several ranks train together (:mod:`wfn.system.ranks`), all call it, with the same data: its batches are
        those of the whole, of which each takes its part, an input at least. The network's weights and the checkpoint
        are those of rank 0. A rank tells its own ``observe`` of everything.
        """
        checkpoint = ranks.from_first(lambda: checkpoint)
        devices = [p.device for p in model.parameters() if p.device.type == "cuda"][:1]
        with torch.random.fork_rng(devices), synchronised_batch_norm(model):
            run = cls(method, model, as_data(data), observe, Checkpoint(checkpoint) if checkpoint else None)
            try:
                return run.to_the_end()
            finally:
                run.weights.release()

    def to_the_end(self) -> Quantised:
        """Run all iterations that are not done yet."""
        if not self.resumed():
            self._tell(0, self.untouched, {})
        while self.state.iteration <= self.method.iterations:
            scores = self.iterate()
            self.state.records.append({"iteration": self.state.iteration, **scores})
            ranks.check_alike("weights", self.weights.values)
            self._tell(self.state.iteration, self.weights.named(), scores)
            self.state.iteration, self.state.epoch = self.state.iteration + 1, 0
            self.save()
        self.model.eval()
        return Quantised(self.model, self.weights.named(), tuple(self.state.records))

    @abstractmethod
    def iterate(self) -> dict[str, float]:
        """Do the iteration ``state.iteration``, what is left of it; return the scores of :class:`Iteration`."""

    @abstractmethod
    def identity(self) -> dict[str, object]:
        """What must be the same for a checkpoint to be gone on with, besides the method's settings and the data."""

    def train(self, update: Update, scores: Callable[[], Mapping[str, float]] = dict) -> None:
        """Train for those epochs of the iteration's stage that are not done yet.

        Args:
            update: what a step does with the gradients.
            scores: gives what the method itself knows of an epoch that is done.
        """
        method, iteration, steps = self.method, self.state.iteration, len(self.data.train)
        self.update = update
        states.restore(update.optimiser, self.state)
        for epoch in range(self.state.epoch + 1, method.epochs + 1):
            seed_epoch(method.seed, iteration, epoch)
            of_epoch = train_epoch(
                self.model,
                self.weights,
                self.data.train,
                update,
                method.precision,
                lambda step, epoch=epoch: self.observe(Step(iteration, epoch, step, steps)),
            )
            of_epoch |= scores()
            ranks.spread(self.model.buffers())  # batch-norm's are alike, those of a user's own layer perhaps not
            if self.data.validation:
                validation = evaluate(self.model, self.data.validation, self.weights.values.device, method.precision)
                of_epoch |= {"validation_top1": validation.top1, "validation_loss": validation.loss}
            self.state.epoch = epoch
            self.observe(Epoch(iteration, epoch, of_epoch))
            self.save()

    def save(self) -> None:
        """Write the checkpoint, where one is wanted."""
        if self.checkpoint and ranks.this() == 0:
            optimiser = self.update.optimiser if self.update else None
            states.save(self.checkpoint, self._identity(), self.state, self.model, self.values, optimiser)

    def resumed(self) -> bool:
        """Go to where the checkpoint says, if there is one."""
        if not self.checkpoint:
            return False
        state = states.load(self.checkpoint, self._identity(), self.model, self.values)
        self.state = state or self.state
        return state is not None

    def _tell(self, number: int, weights: Mapping[str, Tensor], scores: Mapping[str, float]) -> None:
        self.observe(Iteration(number, self.method.iterations, self.model, weights, scores))

    def _identity(self) -> dict[str, object]:
        return {**asdict(self.method), **self.identity(), "data": self.data.fingerprint}


def seed_epoch(seed: int, iteration: int, epoch: int) -> None:
    """Make all that an epoch draws from torch's default generators depend on the run's seed and its number alone."""
    sequence = np.random.SeedSequence((seed, iteration, epoch))
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
