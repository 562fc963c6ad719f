"""What each method costs in accuracy against what it takes, with the line of those that no other beats in both."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.parts.fronts.point_labels import Labelled, write_labels
from wfn.figures.style import WIDTH, line_style, logarithmic, panels_in_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FLOOR = -2.5  # percentage points: what loses more stands there, with its change in figures
ROOM = 0.25  # percentage points above and below all else
ELSEWHERE = "0.75"  # inside the markers of networks that others trained
DECADE = 10  # amounts that span more have fewer ticks
FEW_TIMES = 2  # what spans less stands on a linear axis
MARKER, LARGER = 3.5, 5.5  # points of print: a marker of one run, and of a mean over seeds


@dataclass(frozen=True)
class Cost:
    """A compressed network.

    Attributes:
        method: names it in the legend.
        amount: what it takes, in the panel's unit.
        change: of top-1, percentage points.
        interval: the ends of the 95 % interval of the change; none where it is unknown.
        inside: of its marker: ``white`` without training, ``""`` trained here, :data:`ELSEWHERE` trained by others.
        label: stands beside the point.
        of_seeds: the amount of each of several runs whose mean ``amount`` is.
        of_curve: whether it is joined with the others of its method: one network at settings of a single dial.
    """

    method: str
    amount: float
    change: float
    interval: tuple[float, float] | None = None
    inside: str = ""
    label: str = ""
    of_seeds: Sequence[float] = ()
    of_curve: bool = False

    @property
    def height(self) -> float:
        """Where it is drawn: its change, or :data:`FLOOR`."""
        return max(self.change, FLOOR)

    @property
    def text(self) -> str:
        """What stands beside it: the label, and the change where it is not seen from the height."""
        below = f"({self.change:.1f})".replace("-", "−") if self.change < FLOOR else ""
        return f"{self.label} {below}".strip()


@dataclass(frozen=True)
class Comparison:
    """Networks that share their axes.

    Attributes:
        title: stands above.
        unit: of the amounts.
        costs: the networks.
    """

    title: str
    unit: str
    costs: Sequence[Cost]


def size(panels: Sequence[Comparison]) -> tuple[float, float]:
    """Width and height of the figure, inches; several panels are lower, so that they stay on one page with a table."""
    return WIDTH, (2.9 if len(panels) == 1 else 2.0) * len(panels) - 0.1


def front(costs: Sequence[tuple[float, float]]) -> list[int]:
    """Which of some (amount, change) no other beats: takes no more, loses no more, and does better in one of the two.

    Args:
        costs: amount, the less the better, and change, the more the better.

    Returns:
        their places, by rising amount; of equals all.
    """
    found = []
    for place, (amount, change) in enumerate(costs):
        beaten = any(a <= amount and c >= change and (a < amount or c > change) for a, c in costs)
        if not beaten:
            found.append(place)
    return sorted(found, key=lambda place: (costs[place], place))


def draw(canvas: "Figure", panels: Sequence[Comparison], margin: float, known: Sequence[str] = ()) -> None:
    """A panel each; ``margin`` is the loss, percentage points, that counts as none.

    A method looks as its place among ``known`` has it, so that it is the same in all figures of a report.
    """
    methods = list(dict.fromkeys([*known, *(cost.method for panel in panels for cost in panel.costs)]))
    drawn = list(zip(panels_in_rows(canvas, len(panels), 1), panels, strict=True))
    legend = {}
    for axes, panel in drawn:
        _draw_panel(axes, panel, methods, margin)
        handles, names = axes.get_legend_handles_labels()
        legend |= dict(zip(names, handles, strict=True))
    canvas.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=6)
    canvas.draw_without_rendering()  # where the points lie on paper is known from here on
    for axes, panel in drawn:
        write_labels(axes, _labelled(panel.costs, methods), (0, -margin))


def _draw_panel(axes: "Axes", panel: Comparison, methods: Sequence[str], margin: float) -> None:
    axes.axhline(0, linestyle=":", color="0.4", linewidth=0.8)
    axes.axhline(-margin, linestyle="--", color="0.4", linewidth=0.8)
    ends, named = [0.0, -margin], set()
    for cost in panel.costs:
        style: dict[str, Any] = line_style(methods.index(cost.method)) | {"linestyle": ""}
        name = "" if cost.method in named else cost.method
        named.add(cost.method)
        style["markersize"] = LARGER if len(cost.of_seeds) > 1 else MARKER
        inside = cost.inside or style["color"]
        axes.plot(cost.amount, cost.height, **style, markerfacecolor=inside, label=name, zorder=4)  # above labels
        bars = {"fmt": "none", "ecolor": style["color"], "elinewidth": 0.7, "alpha": 0.6}
        if cost.interval and cost.height == cost.change:
            axes.errorbar(cost.amount, cost.change, yerr=_around(cost.change, *cost.interval), **bars)
            ends += cost.interval
        if len(set(cost.of_seeds)) > 1:
            least, most = min(cost.of_seeds), max(cost.of_seeds)
            axes.errorbar(cost.amount, cost.height, xerr=_around(cost.amount, least, most), **bars)
        ends.append(cost.height)
    _join(axes, panel.costs, methods)
    ahead = front([(cost.amount, cost.change) for cost in panel.costs])
    axes.plot(
        [panel.costs[place].amount for place in ahead],
        [panel.costs[place].height for place in ahead],
        color="0.5",
        linewidth=0.9,
        drawstyle="steps-post",
        zorder=0,
    )
    amounts = [cost.amount for cost in panel.costs]
    if max(amounts) > FEW_TIMES * min(amounts) > 0:
        logarithmic(axes, "x", (1, 2, 5) if max(amounts) > DECADE * min(amounts) else (1, 1.5, 2, 3, 4, 6, 8))
    axes.set_ylim(max(min(ends), FLOOR) - ROOM, max(ends) + ROOM)
    axes.margins(x=0.1)
    axes.set(title=panel.title, xlabel=panel.unit, ylabel="change of top-1 (points)")


def _join(axes: "Axes", costs: Sequence[Cost], methods: Sequence[str]) -> None:
    """Draw a thin line through the points of each curve."""
    for number, method in enumerate(methods):
        points = sorted((cost.amount, cost.height) for cost in costs if cost.method == method and cost.of_curve)
        if points:
            axes.plot(*zip(*points, strict=True), color=line_style(number)["color"], linewidth=0.6, zorder=0.5)


def _around(value: float, low: float, high: float) -> list[list[float]]:
    """An interval as the lengths of its two bars."""
    return [[max(value - low, 0.0)], [max(high - value, 0.0)]]


def _labelled(costs: Sequence[Cost], methods: Sequence[str]) -> list[Labelled]:
    """The points with their labels: of a method whose points all have one label a single point has it.

    Those of the front come first, then those that were trained here; neither goes without a label where a line reaches.
    """
    ahead = set(front([(cost.amount, cost.change) for cost in costs]))
    ordered = sorted(range(len(costs)), key=lambda place: (place not in ahead, costs[place].inside != ""))
    texts = {method: [cost.text for cost in costs if cost.method == method] for method in methods}
    labelled, named = [], set()
    for place in ordered:
        cost = costs[place]
        only_once = len(set(texts[cost.method])) == 1 and cost.method in named
        named.add(cost.method)
        labelled.append(
            Labelled(
                "" if only_once else cost.text,
                cost.amount,
                cost.height,
                line_style(methods.index(cost.method))["color"],
                bar=cost.interval if cost.height == cost.change else None,
                size=LARGER if len(cost.of_seeds) > 1 else MARKER,
                matters=place in ahead or not cost.inside,
            )
        )
    return labelled
