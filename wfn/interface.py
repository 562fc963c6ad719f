"""What every compression method tells and gives back.

A method (:class:`wfn.methods.Method`) is a frozen dataclass whose fields are its hyperparameters. It takes a trained
network and data, tells an ``observe`` function what happens while it works, and gives back a :class:`Quantised`
network. Progress bars, experiment tracking and pruning listen through ``observe``; the algorithms import none of them.
Each event is a line as text, so that ``observe=print`` can be read.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Step:
    """A training step is done: for progress bars, so it holds nothing that costs a device synchronisation."""

    iteration: int  # 1..T
    epoch: int  # 1..epochs of this training stage
    step: int  # 1..steps
    steps: int  # steps in this epoch

    def __str__(self) -> str:
        return f"iteration {self.iteration} epoch {self.epoch} step {self.step} of {self.steps}"


@dataclass(frozen=True)
class Epoch:
    """An epoch of training is done.

    ``scores`` holds, by name, ``train_loss`` (of the objective, a sample), ``training_seconds``, of classification
    ``train_top1`` (percent), where inputs are held back ``held_back_loss`` and the task's score of them, such as
    ``held_back_top1`` (percent), and what the method itself knows, such as ``penalty``.
    """

    iteration: int  # 1..T
    epoch: int  # 1..epochs of this training stage
    scores: Mapping[str, float]

    def __str__(self) -> str:
        return f"iteration {self.iteration} epoch {self.epoch}: {_told(self.scores)}"


@dataclass(frozen=True)
class Iteration:
    """An iteration of a method is done (or, at number 0, the baseline before any of them is known).

    ``weights`` are the values that the network computes with at this moment (see :attr:`Quantised.weights`) and
    ``scores`` what the method itself knows of the iteration, by the names under which they are tracked.
    """

    number: int  # 0 is the untouched baseline, then 1..total
    total: int
    model: torch.nn.Module = field(repr=False)
    weights: Mapping[str, torch.Tensor] = field(repr=False)
    scores: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.number:
            return f"baseline: {sum(weight.numel() for weight in self.weights.values()):,} weights"
        return f"iteration {self.number} of {self.total}: {_told(self.scores)}"


Event = Step | Epoch | Iteration
Observe = Callable[[Event], None]


def _told(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in scores.items()) or "done"


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


# What a method's training learns from, in words that stand in tables; a teacher's outputs are told apart by whose.
LABELS, NO_TRAINING, AS_ITS_AUTHORS = "labels", "no training", "as its authors trained it"
FLOAT_OUTPUTS, OTHER_OUTPUTS = "float network's outputs", "another network's outputs"


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
