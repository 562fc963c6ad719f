"""What every method is: a frozen dataclass, whose work begins with a network and data that were made ready alike."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from wfn import methods
from wfn.data import Data, as_data
from wfn.data.passes import generators_kept
from wfn.interface import AS_ITS_AUTHORS, LABELS, NO_TRAINING, Event, Observe, Quantised, Treatment, ignore
from wfn.methods.observers.mlflow_run import tracked
from wfn.methods.observers.step_bar import shown
from wfn.system import ranks
from wfn.system.torch_context import float32_by_default
from wfn.training.flat_weights import adopted


class Method(ABC):
    """A way to compress a trained network: one file of ``wfn/methods/`` that holds one class derived from this one.

    The class is a frozen dataclass. Its fields are the method's options: each has a plain constant as its default and a
    line under "Attributes:" in the docstring, which is its help text on the command line. Fields of the names that
    every run's settings have (``seed``, ``precision``) take theirs.

    Attributes:
        name: by which the command line calls it.
        title: what people call it.
        row_order: where its rows stand in tables, lower ones first.
        named: the options that :attr:`label` tells.
        switched_off: option -> what a table's row says where it is False or 0, for that alone tells little.
        switched_on: option -> what it says where it is True, which is not the default.
        formerly: option -> what a run had that is older than the option, where that is not its default.
        needed: the options that must be given: the default of such a one says that it was not.
        files: the options that are paths: what tells runs apart is the files' content, which :meth:`hashes` gives.
        iterations: how many :class:`wfn.interface.Iteration` events it tells of, number 0 apart.
        epochs: of training in each iteration.
        samples: how many networks' outputs are averaged at the end, beside the network's own; 0 where it is alone.
        networks_trained: how many float networks it trains from their beginnings.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    row_order: ClassVar[int] = 50
    named: ClassVar[tuple[str, ...]] = ()
    switched_off: ClassVar[Mapping[str, str]] = {}
    switched_on: ClassVar[Mapping[str, str]] = {}
    formerly: ClassVar[Mapping[str, object]] = {}
    needed: ClassVar[tuple[str, ...]] = ()
    files: ClassVar[tuple[str, ...]] = ()
    iterations: int = 0
    epochs: int = 0
    samples: int = 0
    networks_trained: int = 0

    @property
    def label(self) -> str:
        """How a row of it is called, such as "WFN δ = 0.0075": the title, and the options of :attr:`named`."""
        return self.title or self.name

    @property
    @abstractmethod
    def treatment(self) -> Treatment:
        """What it does to which part of the network."""

    @property
    def compresses(self) -> bool:
        """Whether weights come to fewer values, with its options as they are: not those of references and controls."""
        return True

    @property
    def total_epochs(self) -> float:
        """How many passes of the training data its training takes, with its options as they are."""
        return self.iterations * self.epochs

    @property
    def most_epochs(self) -> int:
        """How many epochs the longest of its iterations may have: by it all epochs of a run are numbered."""
        return self.epochs

    @property
    def trains(self) -> bool:
        """Whether anything is trained, with its options as they are."""
        return self.total_epochs > 0

    @property
    def learns_from(self) -> str:
        """What its training learns from, such as :data:`wfn.interface.LABELS`, in words that stand in tables."""
        if self.files:
            return AS_ITS_AUTHORS
        return LABELS if self.trains else NO_TRAINING

    @classmethod
    def where_absent(cls) -> dict[str, object]:
        """Option -> what it was in a run that is older than the option (:func:`wfn.methods.where_absent`)."""
        return methods.where_absent(cls.name)

    def hashes(self) -> dict[str, str]:
        """Name -> SHA-256 of each file that the method reads, the names ending in ``_sha256``.

        A run has them among its params, and is resumed with the same files only.
        """
        return {}

    def compress(
        self,
        model: nn.Module,
        data: object,
        observe: Observe | Sequence[Observe] = ignore,
        checkpoint: Path | None = None,
        *,
        progress: bool = False,
        tracking: bool = False,
        fix_unused: bool = False,
    ) -> Quantised:
        """Compress ``model``, in place, on the device where it is; torch's random state is afterwards what it was.

        Of several ranks (:mod:`wfn.system.ranks`) every one calls this, with the same data; the network is the first's.

        Args:
            model: any trained network; what of it is counted, :class:`wfn.training.flat_weights.FlatWeights` says.
            data: what :func:`wfn.data.as_data` takes.
            observe: told of every :class:`wfn.interface.Event`; or several of such functions.
            checkpoint: a file that is written after every epoch by a method that trains, and resumed from where it is.
            progress: show a bar.
            tracking: log options, curves and measures to MLflow, into the run that is active, else into a new one; the
                test inputs are measured before and after. Of several ranks the first logs.
            fix_unused: fix parameters, too, that no input reaches: an expert that none of some hundred inputs chooses,
                a head that serves training alone. They count as all others do.

        Returns:
            the network, which is ``model`` itself but where that was in a wrapper, and the values of its weights.

        Raises:
            UserError: the network or the data cannot be used, they do not fit each other, or the checkpoint is of
                another run.
        """
        data = as_data(data)
        model = adopted(model, data, fix_unused)
        ranks.spread([*model.parameters(), *model.buffers()])
        with (
            float32_by_default(),
            random_state_kept(model),
            generators_kept(data.train, data.validation or (), data.test),
            ExitStack() as tellers,
        ):
            observers = [*observe] if isinstance(observe, Sequence) else [observe]
            if progress:
                observers.append(tellers.enter_context(shown(self.iterations, self.most_epochs)))
            if not tracking:
                return self._compress(model, data, _all_of(observers), checkpoint)
            run = tellers.enter_context(tracked(self, model, data))
            quantised = self._compress(model, data, _all_of([*observers, run.observe]), checkpoint)
            run.finish(quantised)
            return quantised

    @abstractmethod
    def _compress(self, model: nn.Module, data: Data, observe: Observe, checkpoint: Path | None) -> Quantised:
        """Do it: :meth:`compress` has made ``model`` one whose parameters are what it computes with.

        How several ranks share the work of a method that trains, :meth:`wfn.training.stages.StagedTraining.run` says.
        """


@contextmanager
def random_state_kept(model: nn.Module) -> Iterator[None]:
    """Leave torch's random state, also that of the GPU where ``model`` is, as it was before the body."""
    devices = [parameter.device for parameter in model.parameters() if parameter.device.type == "cuda"][:1]
    with torch.random.fork_rng(devices):
        yield


def _all_of(observers: Sequence[Observe]) -> Callable[[Event], None]:
    if len(observers) == 1:
        return observers[0]

    def tell(event: Event) -> None:
        for observer in observers:
            observer(event)

    return tell
