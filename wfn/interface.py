"""What every compression method takes, tells and gives back.

A method is a frozen dataclass whose fields are its hyperparameters. It takes a trained network and data, tells an
``observe`` function what happens while it works, and gives back a :class:`Quantised` network. Progress bars,
experiment tracking and pruning listen through ``observe``; the algorithms import none of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch


@dataclass(frozen=True)
class Step:
    """A training step is done: for progress bars, so it holds nothing that costs a device synchronisation."""

    iteration: int  # 1..T
    epoch: int  # 1..epochs of this training stage
    step: int  # 1..steps
    steps: int  # steps in this epoch


@dataclass(frozen=True)
class Epoch:
    """An epoch of training is done.

    ``scores`` holds, by name, ``train_loss`` (cross-entropy a sample), ``train_top1`` and ``held_back_top1``
    (percent), ``penalty`` (mean of Eq. 4 over the free weights) and ``training_seconds``.
    """

    iteration: int  # 1..T
    epoch: int  # 1..epochs of this training stage
    scores: Mapping[str, float]


@dataclass(frozen=True)
class Iteration:
    """An iteration of a method is done (or, at number 0, the baseline before any of them is known).

    ``weights`` are the values that the network computes with at this moment (see :attr:`Quantised.weights`) and
    ``scores`` what the method itself knows of the iteration, by the names under which they are tracked.
    """

    number: int  # 0 is the untouched baseline, then 1..total
    total: int
    model: torch.nn.Module
    weights: Mapping[str, torch.Tensor]
    scores: Mapping[str, float] = field(default_factory=dict)


Event = Step | Epoch | Iteration
Observe = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The observer that does nothing."""


@dataclass(frozen=True)
class Quantised:
    """What a method gives back.

    Attributes:
        model: the network, ready for inference.
        weights: parameter name -> the values that the network really computes with, float32 on the CPU. Not always
            those of the ``state_dict``: an APoT save holds latent floats there, a Bayesian method means and deviations.
            Every metric reads these alone. Running statistics are not weights.
        records: one row an iteration, name -> value, as tracked; empty for a method without iterations.
        scores: what the method itself measured at the end, by the names under which it is tracked.
        deviations: shared value -> standard deviation of the noise around it, of a network that is to be sampled from
            and needs no more for it; empty for all others.
        networks: gives, one after another and the same ones in each call, the networks whose probabilities are to be
            averaged, where the method means more than ``model`` alone: most often ``model`` with weights drawn anew,
            which computes with ``weights`` again at the end. They are used in evaluation.
        spreads: rows that tell how far the noise around weights spreads, by the weights' size and the moment of the
            training; empty for methods without noise.
    """

    model: torch.nn.Module
    weights: Mapping[str, torch.Tensor]
    records: tuple[Mapping[str, float], ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)
    deviations: Mapping[float, float] = field(default_factory=dict)
    networks: Callable[[], Iterator[torch.nn.Module]] | None = None
    spreads: tuple[Mapping[str, float | str], ...] = ()


@dataclass(frozen=True)
class Treatment:
    """What a method does to the parts of a network that methods differ in, in words that stand in tables.

    Attributes:
        first_last: to the weights of the first and the last layer.
        batch_norm: to batch-norm's scales and shifts.
        activations: to what passes between layers.
    """

    first_last: str
    batch_norm: str
    activations: str = "float"


class Method(ABC):
    """A way to compress a trained network: one file of ``wfn/methods/`` that holds one class derived from this one.

    The class is a frozen dataclass. Its fields are the method's options: each has a plain constant as its default and a
    line under "Attributes:" in the docstring, which is its help text on the command line. Fields of the names that
    every run's settings have (``seed``, ``precision``) take theirs.

    Attributes:
        name: by which the command line calls it.
        rank: where its rows stand in tables, lower ones first.
        named: the options that :attr:`label` tells.
        switched_off: option -> what a table's row says where it is False, for "False" alone tells little.
        switched_on: option -> what it says where it is True, which is not the default.
        files: the options that are paths: what tells runs apart is the files' content, which :meth:`hashes` gives.
        iterations: how many :class:`Iteration` events it tells of, number 0 apart.
        epochs: of training in each iteration.
    """

    name: ClassVar[str]
    rank: ClassVar[int] = 50
    named: ClassVar[tuple[str, ...]] = ()
    switched_off: ClassVar[Mapping[str, str]] = {}
    switched_on: ClassVar[Mapping[str, str]] = {}
    files: ClassVar[tuple[str, ...]] = ()
    iterations: int = 0
    epochs: int = 0

    @property
    @abstractmethod
    def label(self) -> str:
        """How a row of it is called, such as "WFN δ = 0.0075"."""

    @property
    @abstractmethod
    def treatment(self) -> Treatment:
        """What it does to which part of the network."""

    def hashes(self) -> dict[str, str]:
        """Name -> SHA-256 of each file that the method reads, the names ending in ``_sha256``.

        A run has them among its params, and is resumed with the same files only.
        """
        return {}

    @abstractmethod
    def compress(
        self, model: torch.nn.Module, data: object, observe: Observe = ignore, checkpoint: Path | None = None
    ) -> Quantised:
        """Compress ``model`` (changed in place) with the help of ``data`` (anything :func:`wfn.data.as_data` takes).

        Where ``checkpoint`` is given, a method that takes its time writes there how far it is, and resumes from there.
        """
