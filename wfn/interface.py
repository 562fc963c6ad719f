"""What every compression method takes, tells and gives back.

A method is a frozen dataclass whose fields are its hyperparameters. It takes a trained network and data, tells an
``observe`` function what happens while it works, and gives back a :class:`Quantised` network. Progress bars,
experiment tracking and pruning listen through ``observe``; the algorithms import none of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

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

    ``scores`` holds, by name, ``train_loss`` (cross-entropy a sample), ``train_top1`` and ``validation_top1``
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
    """

    model: torch.nn.Module
    weights: Mapping[str, torch.Tensor]
    records: tuple[Mapping[str, float], ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)


class Method(Protocol):
    """A way to compress a trained network; implementations are frozen dataclasses, their fields the hyperparameters.

    One that reads files of its own may also have ``hashes()``, which gives name -> SHA-256 of each, the names ending in
    ``_sha256``: a run has them among its params, and goes on with the same files only.
    """

    @property
    def iterations(self) -> int:
        """How many :class:`Iteration` events it tells of, number 0 apart; 0 for a method that has none."""
        ...

    def compress(
        self, model: torch.nn.Module, data: object, observe: Observe = ignore, checkpoint: Path | None = None
    ) -> Quantised:
        """Compress ``model`` (changed in place) with the help of ``data`` (anything :func:`wfn.data.as_data` takes).

        Where ``checkpoint`` is given, a method that takes its time writes there how far it is, and goes on from there.
        """
        ...
