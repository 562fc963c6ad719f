"""A bar over the steps of a method's training."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from wfn.interface import Epoch, Event, Iteration, Observe, Step
from wfn.system import ranks


class StepBar:
    """A bar over all steps of all iterations; of several ranks (:mod:`wfn.system.ranks`) only the first has one."""

    def __init__(self, iterations: int, epochs: int) -> None:
        self._iterations, self._epochs = iterations, epochs
        self._bar: tqdm | None = None

    @property
    def hidden(self) -> bool:
        """Whether there is none by now: no step is done yet, or the output is no terminal."""
        return self._bar is None or self._bar.disable

    def step(self, step: Step) -> None:
        """Move it."""
        total = self._iterations * self._epochs * step.steps
        if self._bar is None:
            self._bar = tqdm(total=total, unit="step", disable=ranks.this() > 0 or None, leave=False)
        self._bar.total = total  # a first stage may take a part of the data alone
        self._bar.set_description(
            f"iteration {step.iteration}/{self._iterations} epoch {step.epoch}/{self._epochs}", refresh=False
        )
        done = ((step.iteration - 1) * self._epochs + step.epoch - 1) * step.steps + step.step
        self._bar.update(done - self._bar.n)

    def note(self, **texts: Any) -> None:
        """Show something beside it."""
        if self._bar is not None:
            self._bar.set_postfix(texts)

    def close(self) -> None:
        """Take it away."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def shown(iterations: int, epochs: int) -> Iterator[Observe]:
    """An observer that moves a bar, with the last scores beside it; at the end the bar is gone."""
    bar = StepBar(iterations, epochs)

    def observe(event: Event) -> None:
        match event:
            case Step():
                bar.step(event)
            case Epoch() | Iteration():
                scores = {name: f"{value:.4g}" for name, value in event.scores.items() if not name.endswith("seconds")}
                bar.note(**scores)

    try:
        yield observe
    finally:
        bar.close()
