"""What a study came to, for a person at the terminal: a table of its points, the front, and where all of it lies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from studies.design import MAXIMISE, Results, Trial
from studies.outcome.trade_offs import on_front
from wfn.errors import printable
from wfn.figures.intervals import mean_and_half_interval
from wfn.measures import quantities
from wfn.tasks.quantity import Quantity

MOST_ROWS = 30
WIDEST = 40  # characters of a setting's value


@dataclass(frozen=True)
class MeanOfRepeats:
    """A point of a study: means over the trials that differ in the nuisance alone.

    Attributes:
        settings: of the point.
        objectives: name -> mean, and half of its 95 % interval, 0 for one trial.
        trials: how many.
        is_on_front: whether no other point's means are as good in every objective and better in one.
    """

    settings: Mapping[str, object]
    objectives: Mapping[str, tuple[float, float]]
    trials: int
    is_on_front: bool


def rows(results: Results) -> list[MeanOfRepeats]:
    """A row for each point with a trial that came to its end, in the order of the trials."""
    points = []
    for trials in results.repeats:
        settings = {name: value for name, value in trials[0].settings.items() if name != results.nuisance}
        means = {name: mean_and_half_interval([t.metrics[name] for t in trials]) for name in results.objectives}
        points.append(MeanOfRepeats(settings, means, len(trials), is_on_front=False))
    as_trials = [
        Trial(number, "COMPLETE", {}, {name: mean for name, (mean, _) in point.objectives.items()})
        for number, point in enumerate(points)
    ]
    front = on_front(replace(results, trials=as_trials)) if points else []
    return [replace(point, is_on_front=is_on_front) for point, is_on_front in zip(points, front, strict=True)]


def ending(results: Results, paths: Sequence[Path]) -> str:
    """The table, what its marks mean, and the paths; of many points only those on the front."""
    points = rows(results)
    shown = points if len(points) <= MOST_ROWS else [point for point in points if point.is_on_front]
    return "\n".join([*_table(results, shown), *_notes(results, len(points), len(shown)), *_told(paths)])


def _table(results: Results, points: Sequence[MeanOfRepeats]) -> list[str]:
    if not points:
        return []
    names = list(dict.fromkeys(name for point in points for name in point.settings))
    arrows = [f"{name} {'↑' if way == MAXIMISE else '↓'}" for name, way in results.objectives.items()]
    lines = [[*names, *arrows, "n", "front"]]
    for point in points:
        settings = [setting_text(point.settings.get(name, "")) for name in names]
        values = [objective_text(name, *point.objectives[name]) for name in results.objectives]
        lines.append([*settings, *values, str(point.trials), "*" if point.is_on_front else ""])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["", *("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)]


def setting_text(value: object) -> str:
    """A setting's value as a table shows it."""
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value))[:WIDEST]


def objective_text(name: str, mean: float, half: float) -> str:
    """An objective's mean as a table shows it, with half of its interval where there is one."""
    quantity = quantities().get(name)
    form = quantity.form if quantity else Quantity(name, name).form
    if form == "{:,}":  # a count, of which the mean is none
        form = "{:,.0f}" if mean == int(mean) else "{:,.1f}"
    return form.format(mean) + (f" ± {form.format(half)}" if half else "")


def _notes(results: Results, points: int, shown: int) -> list[str]:
    if not points:
        return ["", "no trial came to its end: 'python -m studies status' says why"]
    notes = ["↑ higher, ↓ lower is better; *: no other point is as good in all of these and better in one"]
    if len(results.complete) > points:
        notes.append(f"means over n trials, which differ in {results.nuisance}; ±: 95 % interval")
    if shown < points:
        notes.append(f"{points - shown} points that are not on the front are left out here: the table has them")
    return ["", *notes]


def _told(paths: Sequence[Path]) -> list[str]:
    return ["", *map(str, paths)]
