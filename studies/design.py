"""How a study is designed: what a question says to what carries it out.

A question is a file of ``studies/questions/``. Its docstring asks it (``python -m studies list`` shows the first line)
and names what is varied, fixed and nuisance; its ``STUDY`` says the same to the program. This module is all that such a
file needs to import, and importing it is light.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from wfn.runs.settings import Settings

if TYPE_CHECKING:  # it would import torch
    from wfn.runs.lifecycle import RunHandle
    from wfn.runs.record import Record

MAXIMISE, MINIMISE = "maximize", "minimize"

Point = dict[str, Any]


@dataclass(frozen=True)
class Interval:
    """The numbers from ``low`` to ``high``, both included, for a sampler to draw from."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Columns:
    """Each setting varied on its own, all others held at their base: the columns of a figure, crossing in one point."""

    values: Mapping[str, Sequence[Any]]

    def points(self, base: Mapping[str, Any]) -> list[Point]:
        """What to run: each point once, also where columns share it."""
        centre = {name: base[name] for name in self.values}
        return _distinct(centre | {name: value} for name, values in self.values.items() for value in values)


@dataclass(frozen=True)
class Grid:
    """Every combination of the values."""

    values: Mapping[str, Sequence[Any]]

    def points(self, base: Mapping[str, Any]) -> list[Point]:
        """What to run; ``base`` has no say."""
        return _distinct(dict(zip(self.values, some, strict=True)) for some in itertools.product(*self.values.values()))


@dataclass(frozen=True)
class Sampled:
    """A sampler chooses ``trials`` points, learning from those that are done: intervals, or values to choose among."""

    values: Mapping[str, Interval | Sequence[Any]]
    trials: int


@dataclass(frozen=True)
class Listed:
    """A plan lists the points one by one, and each may have settings of its own; ``values`` has none."""

    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def points(self, base: Mapping[str, Any]) -> list[Point]:
        """None: they are the plan's."""
        return []


@dataclass(frozen=True)
class Trial:
    """One trial as the storage has it.

    Attributes:
        number: within its study.
        state: WAITING, RUNNING, COMPLETE, PRUNED or FAIL.
        settings: those that the study varies, and the nuisance.
        metrics: the last value of everything that its run logged.
        run: the id of its run; empty before it has one.
        reason: why it failed or was pruned.
        seconds: from its (last) start to its end, None before.
    """

    number: int
    state: str
    settings: Mapping[str, Any]
    metrics: Mapping[str, float] = field(default_factory=dict)
    run: str = ""
    reason: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Results:
    """All that a figure is drawn from.

    Attributes:
        base: the settings that hold where nothing is varied.
        varied: name -> what it is varied over.
        objectives: name of a metric -> MAXIMISE or MINIMISE.
        trials: by number, those that were cut off and taken up again left out.
        nuisance: the setting that tells the repeats of a point apart.
    """

    base: Mapping[str, Any]
    varied: Mapping[str, Interval | Sequence[Any]]
    objectives: Mapping[str, str]
    trials: Sequence[Trial]
    nuisance: str = "seed"

    @property
    def complete(self) -> list[Trial]:
        """The trials that came to their end."""
        return [trial for trial in self.trials if trial.state == "COMPLETE"]

    @property
    def repeats(self) -> list[list[Trial]]:
        """The trials that came to their end, those together that differ in the nuisance alone."""
        points: list[Point] = []
        found: list[list[Trial]] = []
        for trial in self.complete:
            point = {name: value for name, value in trial.settings.items() if name != self.nuisance}
            if point not in points:
                points.append(point)
                found.append([])
            found[points.index(point)].append(trial)
        return found

    def best(self, objective: str) -> tuple[float, list[Trial]] | None:
        """The best mean of an objective over the repeats of a point, and these trials; None before one has ended."""
        repeats = [
            trials for trials in self.repeats if all(trial.metrics.get(objective) is not None for trial in trials)
        ]
        means = [(fmean(trial.metrics[objective] for trial in trials), trials) for trials in repeats]
        pick = max if self.objectives[objective] == MAXIMISE else min
        return pick(means, key=lambda mean: mean[0], default=None)


def fix_weights(settings: Settings, handle: "RunHandle") -> object:
    """What most studies do in a trial: one run, from beginning to end."""
    from wfn.runs.run import run

    return run(settings, handle)


@dataclass(frozen=True)
class Study:
    """How a question is answered.

    Attributes:
        varied: the settings that change from trial to trial, and over what.
        objectives: the metrics that matter: name -> MAXIMISE or MINIMISE. The first one is told as "best so far".
        draw: draws the figure from the results into a file.
        repeats: how many times each point of a grid is run.
        nuisance: the integer setting that tells repeats apart: it counts up from its base.
        settings: the settings of a trial.
        run: carries a trial out, as :func:`wfn.runs.run.run` does: logs metrics by the handle of the trial's run, and
            goes on where its record stands.
        hopeless: told of a trial's record after each iteration, and of the results so far; gives the reason to prune
            it, or nothing. None where nothing may be pruned, as in a grid.
    """

    varied: Columns | Grid | Sampled | Listed
    objectives: Mapping[str, str]
    draw: Callable[[Results, Path], None]
    repeats: int = 3
    nuisance: str = "seed"
    settings: type[Settings] = Settings
    run: Callable[[Any, "RunHandle"], object] = fix_weights
    hopeless: Callable[["Record", Results], str | None] | None = None


def _distinct(points: Iterable[Point]) -> list[Point]:
    found: list[Point] = []
    for point in points:
        if point not in found:
            found.append(point)
    return found
