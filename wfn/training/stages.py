"""What methods that train have in common: iterations, each with a stage of training, saved after every epoch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from wfn.data.dataset import Batches, Data
from wfn.data.passes import check_divisible, generators_of
from wfn.errors import UserError, require
from wfn.interface import Epoch, Iteration, Observe, Quantised, Step
from wfn.measures.evaluation.task_scores import task_scores
from wfn.networks.own.state import copy_buffer, dense
from wfn.networks.running_statistics import check_statistics
from wfn.system import ranks
from wfn.system.fingerprint import by_name, fingerprint
from wfn.system.torch_context import PRECISIONS
from wfn.training import MOST_EPOCHS
from wfn.training.batch_norm import reestimate_statistics, synchronised_batch_norm
from wfn.training.checkpoint import Checkpoint, Progress, Stateful, of, restore, under
from wfn.training.epoch import Objective, check_trains, from_labels, train_epoch
from wfn.training.flat_weights import counted_weights
from wfn.training.updates import Update

METHOD, UPDATE, BUFFER = "method.", "update.", "buffer."  # whose tensors of a checkpoint these names begin


class StagedMethod(Protocol):
    """The settings that a staged training reads; a method's frozen dataclass has them among its own."""

    @property
    def iterations(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def precision(self) -> str: ...
    @property
    def seed(self) -> int: ...
    def where_absent(self) -> dict[str, object]: ...
    def hashes(self) -> dict[str, str]: ...


M = TypeVar("M", bound=StagedMethod)


def check_stage_settings(method: StagedMethod) -> None:
    """Raise :class:`UserError` for a setting, of those that every method that trains has, that cannot work."""
    require("epochs", method.epochs, 0 <= method.epochs <= MOST_EPOCHS, f"from 0 to {MOST_EPOCHS:,}")
    require("iterations", method.iterations, 1 <= method.iterations <= MOST_EPOCHS, f"from 1 to {MOST_EPOCHS:,}")
    if (epochs := method.iterations * method.epochs) > MOST_EPOCHS:
        raise UserError(
            f"{method.iterations:,} iterations of {method.epochs:,} epochs are {epochs:,} epochs, which would not end: "
            f"give {MOST_EPOCHS:,} or fewer in all"
        )
    require("learning_rate", method.learning_rate, 0 <= method.learning_rate < inf, "0 or more")
    require("precision", method.precision, method.precision in PRECISIONS, " or ".join(PRECISIONS))
    require("seed", method.seed, method.seed >= 0, "0 or more")


class StagedTraining(ABC, Generic[M]):
    """One network on its way through the iterations of a method, told and saved; a method's own training builds on it.

    Attributes:
        method: its settings.
        weights: the network's counted weights.
        untouched: name -> their values before the method, where training begins.
        progress: how far the training is.
        update: the one in use, which a checkpoint holds as well; a method sets None where the next is built anew.
        objective: what training makes small; the task's loss unless a method sets another.
    """

    def __init__(
        self,
        method: M,
        model: nn.Module,
        data: Data,
        observe: Observe,
        checkpoint: Checkpoint | None,
        fix_batch_norm: bool = True,
    ) -> None:
        self.method, self.model, self.data, self.observe, self.checkpoint = method, model, data, observe, checkpoint
        self.progress = Progress()
        self.update: Update | None = None
        self.objective: Objective = from_labels
        self._update_state: dict[str, Tensor] = {}  # what a checkpoint had kept of it, until it is built anew
        ranks.check_alike("data", data.fingerprint)
        check_divisible(data.train)
        check_trains(model, data)
        self.weights = counted_weights(model, data, fix_batch_norm)
        self.untouched = self.weights.named()

    @classmethod
    def run(cls, method: M, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Do what ``method.compress`` promises, which sees to it that torch's random state stays as it was.

        Where several ranks train together (:mod:`wfn.system.ranks`), all call it, with the same data: its batches are
        those of the whole, of which each takes its part, an input at least. The network's weights and the checkpoint
        are those of rank 0. A rank tells its own ``observe`` of everything.
        """
        checkpoint = ranks.from_first(lambda: checkpoint)
        with torch.enable_grad(), synchronised_batch_norm(model):
            training = cls(method, model, data, observe, Checkpoint(checkpoint) if checkpoint else None)
            try:
                return training.run_iterations()
            finally:
                training.weights.release()

    def run_iterations(self) -> Quantised:
        """Run all iterations that are not done yet."""
        if not self._resumed():
            self._tell(0, self.untouched, {})
        while self.progress.iteration <= self.method.iterations:
            scores = self.iterate()
            self.progress.records.append({"iteration": self.progress.iteration, **scores})
            ranks.check_alike("weights", self.weights.values)
            self._tell(self.progress.iteration, self.weights.named(), scores)
            self.progress.iteration, self.progress.epoch = self.progress.iteration + 1, 0
            self._save()
        self.model.eval()
        return self.finished()

    def finished(self) -> Quantised:
        """What the method gives back."""
        return Quantised(self.model, self.weights.named(), tuple(self.progress.records))

    @abstractmethod
    def iterate(self) -> dict[str, float]:
        """Do the iteration ``progress.iteration``, what is left of it; return the scores of :class:`Iteration`."""

    def identity(self) -> dict[str, object]:
        """What must be the same for a checkpoint to be resumed, besides the method's settings and files, and the data.

        That are the weights where training begins; a method that depends on more, or on less, says so.
        """
        return {"network's weights": self._began_with}

    @cached_property
    def _began_with(self) -> str:
        """Identifies :attr:`untouched`; only who keeps a checkpoint asks."""
        return fingerprint(by_name(self.untouched))

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """What the method has changed or chosen so far: all that :meth:`load_state_dict` needs to resume."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take what :meth:`state_dict` gave, the weights included."""

    def train(
        self,
        update: Update,
        scores: Callable[[], Mapping[str, float]] = dict,
        epochs: int | None = None,
        batches: Batches | None = None,
    ) -> None:
        """Train for those epochs of the iteration's stage that are not done yet.

        Args:
            update: what a step does.
            scores: gives what the method itself knows of an epoch that is done.
            epochs: of this stage, where they are not the method's.
            batches: of an epoch, where they are not all of the training data's.
        """
        method, iteration = self.method, self.progress.iteration
        epochs, batches = method.epochs if epochs is None else epochs, self.data.train if batches is None else batches
        steps = len(batches)
        self.update = update
        if self._update_state:
            self._restore(update, self._update_state)
            self._update_state = {}
        if self.progress.epoch > epochs:
            raise self._unfit(f"epoch must be at most {epochs}, but is {self.progress.epoch}")
        for epoch in range(self.progress.epoch + 1, epochs + 1):
            seed_epoch(method.seed, iteration, epoch, batches)
            of_epoch = train_epoch(
                self.model,
                self.weights,
                batches,
                update,
                method.precision,
                lambda step, epoch=epoch: self.observe(Step(iteration, epoch, step, steps)),
                self.objective,
                self.data.task,
            )
            of_epoch |= scores()
            ranks.spread(self.model.buffers())  # batch-norm's are alike, those of a user's own layer perhaps not
            if self.data.validation:
                task, device = self.data.task, self.weights.values.device
                held_back = task_scores(self.model, task, self.data.validation, device, method.precision)
                of_epoch |= {f"held_back_{name}": held_back[name] for name in (task.score.name, "loss")}
            self.progress.epoch = epoch
            self.observe(Epoch(iteration, epoch, of_epoch))
            self._save()

    def reestimate(self) -> None:
        """Take batch-norm's running statistics anew, over one pass of training images that no epoch of training has."""
        seed_epoch(self.method.seed, self.progress.iteration + 1, 0, self.data.train)
        reestimate_statistics(self.model, self.data, self.weights.values.device)

    def _save(self) -> None:
        """Write the checkpoint, where one is wanted."""
        if self.checkpoint and ranks.this() == 0:
            tensors = {
                **under(METHOD, self.state_dict()),
                **under(UPDATE, self.update.state_dict() if self.update else {}),
                **under(BUFFER, _Buffers(self.model).state_dict()),
            }
            self.checkpoint.save(tensors, {"identity": self._identity(), **asdict(self.progress)})

    def _resumed(self) -> bool:
        """Go to where the checkpoint says, if there is one; raises :class:`UserError` for one of another run."""
        saved = ranks.from_first(self.checkpoint.load) if self.checkpoint else None
        if not saved:
            return False
        tensors, record = saved
        self._check_identity(record.get("identity"))
        try:
            self.progress = Progress.of(record, self.method.iterations)
        except KeyError as error:
            raise UserError(
                f"{self.checkpoint.path} lacks {error}: it is of another version, start the run anew"
            ) from error
        except ValueError as error:
            raise self._unfit(error) from error
        self._restore(_Buffers(self.model), of(BUFFER, tensors))
        self._restore(self, of(METHOD, tensors))
        self._update_state = of(UPDATE, tensors)
        return True

    def _restore(self, owner: Stateful, state: Mapping[str, Tensor]) -> None:
        try:
            restore(owner, state)
        except (ValueError, LookupError, RuntimeError, TypeError, OverflowError) as error:
            raise self._unfit(error) from error

    def _unfit(self, reason: object) -> UserError:
        return UserError(f"{self.checkpoint.path} is no checkpoint of this run ({reason}): start the run anew")

    def _check_identity(self, then: object) -> None:
        if not isinstance(then, dict):
            raise self._unfit(f"it must say of which run it is, but says {then!r:.40}")
        then = {**_as_json(self.method.where_absent()), **then}  # an older version may not have had all options
        now = self._identity()
        other = [f"{key} was {then.get(key)!r}, is {value!r}" for key, value in now.items() if then.get(key) != value]
        if other:
            raise UserError(
                f"{self.checkpoint.path} is of other settings ({'; '.join(other)}): give those, or start anew"
            )

    def _tell(self, number: int, weights: Mapping[str, Tensor], scores: Mapping[str, float]) -> None:
        self.observe(Iteration(number, self.method.iterations, self.model, weights, scores))

    def _identity(self) -> dict[str, object]:
        settings = {f.name: getattr(self.method, f.name) for f in fields(self.method)}
        return {**_as_json(settings), **self.identity(), **self.method.hashes(), "data": self.data.fingerprint}


def _as_json(settings: Mapping[str, object]) -> dict[str, object]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


class _Buffers:
    """The buffers of a network, running statistics among them, as a checkpoint keeps them."""

    def __init__(self, model: nn.Module) -> None:
        self._buffers = dict(model.named_buffers())

    def state_dict(self) -> dict[str, Tensor]:
        return {name: dense(buffer) for name, buffer in self._buffers.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        check_statistics(state)
        for name, buffer in self._buffers.items():
            copy_buffer(buffer, state[name])


def seed_epoch(seed: int, iteration: int, epoch: int, batches: Batches) -> None:
    """Make all that an epoch draws depend on the run's seed and its number alone.

    That is what it draws from torch's default generators, and from those that the ``batches`` have of their own.
    """
    sequence = np.random.SeedSequence((seed, iteration, epoch))
    number = int(sequence.generate_state(1, np.uint64)[0] >> 1)
    torch.manual_seed(number)
    for generator in generators_of(batches):
        generator.manual_seed(number)
