"""The points of a study as rows: means over trials that differ in the nuisance alone, and which are on the front."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from studies.design import MAXIMISE, Results, Trial
from studies.outcome.trade_offs import on_front
from wfn.errors import printable
from wfn.figures.intervals import mean_and_half_interval
from wfn.measures import quantities
from wfn.tasks.quantity import Quantity

MOST_ROWS = 30  # that are shown of many
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


def points_of(results: Results) -> list[MeanOfRepeats]:
    """The points with a trial that came to its end, in the order of the trials."""
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


def as_table(results: Results, points: Sequence[MeanOfRepeats]) -> tuple[list[str], list[list[str]]]:
    """Titles, and a line of cells for each point: its settings, then objectives, with an arrow to where is better."""
    names = list(dict.fromkeys(name for point in points for name in point.settings))
    arrows = [f"{name} {'↑' if way == MAXIMISE else '↓'}" for name, way in results.objectives.items()]
    lines = [
        [
            *(_setting_text(point.settings.get(name, "")) for name in names),
            *(_objective_text(name, *point.objectives[name]) for name in results.objectives),
        ]
        for point in points
    ]
    return [*names, *arrows], lines


def _setting_text(value: object) -> str:
    """A setting's value as a table shows it."""
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value))[:WIDEST]


def _objective_text(name: str, mean: float, half: float) -> str:
    """An objective's mean as a table shows it, with half of its interval where there is one."""
    quantity = quantities().get(name)
    form = quantity.form if quantity else Quantity(name, name).form
    if form == "{:,}":  # a count, of which the mean is none
        form = "{:,.0f}" if mean == int(mean) else "{:,.1f}"
    return form.format(mean) + (f" ± {form.format(half)}" if half else "")
