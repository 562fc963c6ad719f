"""Accuracy against size as a setting varies, with the accuracy before across (the paper's Figure 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

from wfn.figures.intervals import mean_and_half_interval
from wfn.figures.style import WIDTH, line_style, panels_in_rows, row_count, write_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST_ROOM = 0.5  # percentage points above and below: less than a point should not look like a cliff


@dataclass(frozen=True)
class Compressed:
    """One point of a line: networks that differ in nothing but their seed.

    Attributes:
        sizes: of each network, in the panel's unit.
        scores: top-1 of each, percent.
        label: stands beside the point.
    """

    sizes: Sequence[float]
    scores: Sequence[float]
    label: str = ""


@dataclass(frozen=True)
class Line:
    """The points of one network.

    Attributes:
        label: names the network in the legend; empty where the panel has no other.
        points: in the order in which they are joined.
        before: top-1 of the float networks, percent; none where it is unknown.
        is_printed: whether the numbers are the paper's: its markers are hollow.
    """

    label: str
    points: Sequence[Compressed]
    before: Sequence[float] = ()
    is_printed: bool = False


@dataclass(frozen=True)
class Panel:
    """Lines that share their axes; ``unit`` is that of the sizes."""

    title: str
    lines: Sequence[Line]
    unit: str = "kB"


def size(panels: Sequence[Panel]) -> tuple[float, float]:
    """Width and height of the figure, inches."""
    rows = row_count(len(panels))
    return WIDTH, 3.2 if len(panels) == 1 else 2.1 * rows


def draw(canvas: "Figure", panels: Sequence[Panel]) -> None:
    """Mean top-1 against mean size, with 95 % intervals both ways; dotted: before."""
    for axes, panel in zip(panels_in_rows(canvas, len(panels)), panels, strict=True):
        shown = [edge for number, line in enumerate(panel.lines) for edge in _draw_line(axes, line, number)]
        room = max(0.2 * (max(shown) - min(shown)), LEAST_ROOM)
        axes.set_ylim(min(shown) - room, max(shown) + room)
        axes.margins(x=0.25 if len(panels) > 1 else 0.1)
        axes.set(title=panel.title, xlabel=f"size ({panel.unit})", ylabel="top-1 (%); dotted: before")
        if any(line.label for line in panel.lines):
            # Curves rise towards the right: but for lines across it is empty there.
            axes.legend(loc="lower right", frameon=True, framealpha=0.9, facecolor="white", edgecolor="none")


def _draw_line(axes: "Axes", line: Line, number: int) -> list[float]:
    """Draw it, and give back what must be seen of its heights."""
    sizes = [mean_and_half_interval(point.sizes) for point in line.points]
    scores = [mean_and_half_interval(point.scores) for point in line.points]
    style: dict[str, Any] = line_style(number) | ({"markerfacecolor": "white"} if line.is_printed else {})
    means = [mean for mean, _ in sizes], [mean for mean, _ in scores]
    halves = [half or nan for _, half in scores], [half or nan for _, half in sizes]  # no bar without a spread
    axes.plot(*means, label=line.label, **style)
    axes.errorbar(*means, *halves, fmt="none", ecolor=style["color"], capsize=2, elinewidth=0.7)
    for point, across, up in zip(line.points, *means, strict=True):
        write_beside(axes, point.label, across, up, (4, -6), style["color"])
    shown = [mean + sign * half for mean, half in scores for sign in (-1, 1)]
    if line.before:
        before, _ = mean_and_half_interval(line.before)
        axes.axhline(before, linestyle=":", color=style["color"], linewidth=0.8)
        shown.append(before)
    return shown
