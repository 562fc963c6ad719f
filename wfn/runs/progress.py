"""What a person at the terminal sees of a run: a bar that moves, or plain lines where the output is no terminal."""

import logging
from collections.abc import Mapping

from wfn.interface import Epoch, Step
from wfn.methods.observers.step_bar import StepBar
from wfn.tasks.quantity import Quantity

log = logging.getLogger(__name__)


class RunProgress:
    """A bar over all steps of all iterations.

    Where the output is a file or a pipe, a line for each epoch takes its place. Of several ranks
    (:mod:`wfn.system.ranks`) only the first has a bar.
    """

    def __init__(self, iterations: int, epochs: int, score: Quantity) -> None:
        self._iterations, self._epochs, self._score = iterations, epochs, score
        self._unit = " %" if "(%)" in score.title else ""
        self._bar = StepBar(iterations, epochs)

    def step(self, step: Step) -> None:
        """Move the bar."""
        self._bar.step(step)

    def epoch(self, epoch: Epoch) -> None:
        """Tell of an epoch, where there is no bar."""
        if self._bar.hidden:
            scores = epoch.scores
            value = scores.get(f"held_back_{self._score.name}")
            held_back = "" if value is None else f", held back {self._score.text(value)}{self._unit}"
            log.info(
                f"iteration {epoch.iteration}/{self._iterations} epoch {epoch.epoch}/{self._epochs}: "
                f"loss {scores['train_loss']:.4f}{held_back}, {scores['training_seconds']:.1f} s"
            )

    def iteration(self, number: int, scores: Mapping[str, float]) -> None:
        """Tell what an iteration came to."""
        name = "baseline" if number == 0 else f"iteration {number}/{self._iterations}"
        fixed = f", {100 * scores['share_fixed']:.2f} % fixed" if "share_fixed" in scores else ""
        score = f"{self._score.text(scores[self._score.name])}{self._unit}"
        log.info(
            f"{name}: {self._score.name} {score}, {scores['unique_params']:,} unique values, "
            f"{scores['entropy_bits']:.2f} bits{fixed}"
        )
        values = {"unique": scores["unique_params"], "bits": f"{scores['entropy_bits']:.2f}"}
        self._bar.note(**{self._score.name: self._score.text(scores[self._score.name]), **values})

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()
