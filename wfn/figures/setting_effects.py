"""What each of some settings does to each of some measures, the others held (the paper's Figure 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

from wfn.figures.intervals import mean_and_half_interval
from wfn.figures.style import COLOURS, WIDTH, logarithmic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABELS = {
    "alpha": "regularisation ratio α",
    "delta": "distance δ",
    "fix_batch_norm": "batch-norm fixed",
    "fold": "deviation folded to",
    "distillation": "share of the teacher",
    "value_epochs": "epochs of values",
    "reestimate": "statistics anew",
    "recluster": "clustered anew",
    "top1": "top-1 (%)",
    "top1_from_baseline": "top-1, change",
    "unique_params": "unique values",
    "entropy_bits": "entropy (bits)",
}
LOGARITHMIC = ("unique_params",)  # a batch-norm that is left alone has ten times as many

Value = bool | float | str


@dataclass(frozen=True)
class Outcome:
    """What one trial came to.

    Attributes:
        settings: name -> value of at least the settings that are shown; numbers make a scale, all else categories.
        measures: name -> value of at least the measures that are shown.
    """

    settings: Mapping[str, Value]
    measures: Mapping[str, float]


def size(centre: Mapping[str, Value], measures: Sequence[str]) -> tuple[float, float]:
    """Width and height of the figure, inches."""
    return WIDTH / 3 * len(centre), 1.4 * len(measures)


def draw(canvas: "Figure", outcomes: Sequence[Outcome], centre: Mapping[str, Value], measures: Sequence[str]) -> None:
    """A column for each setting, a row for each measure: every trial, and means with 95 % intervals.

    Args:
        canvas: an empty figure.
        outcomes: all trials; a column shows those that are at the centre in every other setting.
        centre: a column for each name, and the value at which the other columns hold it.
        measures: a row for each name.
    """
    panels = canvas.subplots(len(measures), len(centre), squeeze=False, sharex="col", sharey="row")
    for column, setting in zip(panels.T, centre, strict=True):
        column[-1].set_xlabel(LABELS.get(setting, setting))
        others = {name: value for name, value in centre.items() if name != setting}
        shown = [outcome for outcome in outcomes if others.items() <= outcome.settings.items()]
        for axes, measure in zip(column, measures, strict=True):
            _draw_measure(axes, [(outcome.settings[setting], outcome.measures[measure]) for outcome in shown])
    for axes, measure in zip(panels[:, 0], measures, strict=True):
        axes.set_ylabel(LABELS.get(measure, measure))
        if measure in LOGARITHMIC:
            logarithmic(axes, "y")
    canvas.align_labels()


def _draw_measure(axes: "Axes", points: Sequence[tuple[Value, float]]) -> None:
    values = sorted({value for value, _ in points}, key=lambda value: (isinstance(value, str), value))
    is_scale = not any(isinstance(value, (bool, str)) for value in values)
    places = values if is_scale else range(len(values))
    found = [[score for value, score in points if value == each] for each in values]
    means, halves = zip(*map(mean_and_half_interval, found), strict=True) if found else ((), ())
    for place, scores in zip(places, found, strict=True):
        axes.plot([place] * len(scores), scores, "x", color=COLOURS[3], linestyle="none", zorder=3)  # above the means
    axes.errorbar(
        places, means, [half or nan for half in halves],  # no bar without a spread
        marker="o", linestyle="-" if is_scale else "none", color=COLOURS[0], capsize=3, elinewidth=0.7,
    )  # fmt: skip
    slanted: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if is_scale else {}
    axes.set_xticks(places, [_text(value) for value in values], **slanted)
    axes.margins(x=0.1 if is_scale else 0.5)


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else f"{value:g}"
