"""How far the noise around weights spreads, by the weights' size, before and after a method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wfn.figures.style import WIDTH, line_style, panels_in_rows, row_count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_SIZE = 2.0**-13  # where the row of the smallest weights is drawn, zeros among them


@dataclass(frozen=True)
class Spread:
    """One network.

    Attributes:
        title: stands above.
        rows: ``moment``, ``size`` (0: the smallest), and quantiles ``lower``, ``median``, ``upper`` of the deviations.
    """

    title: str
    rows: Sequence[Mapping[str, Any]]


def size(spreads: Sequence[Spread]) -> tuple[float, float]:
    """Width and height of the figure, inches."""
    return WIDTH, 2.3 * row_count(len(spreads))


def draw(canvas: "Figure", spreads: Sequence[Spread]) -> None:
    """A panel each: medians of the deviations against |w| at each moment, 10 % to 90 % shaded; both logarithmic."""
    panels = panels_in_rows(canvas, len(spreads))
    for axes, spread in zip(panels, spreads, strict=True):
        for number, moment in enumerate(dict.fromkeys(row["moment"] for row in spread.rows)):
            rows = [row for row in spread.rows if row["moment"] == moment]
            sizes = [float(row["size"]) or LEAST_SIZE for row in rows]
            style: dict[str, Any] = line_style(number) | {"markersize": 2.5}
            axes.plot(sizes, [float(row["median"]) for row in rows], label=moment, **style)
            lower, upper = ([float(row[name]) for row in rows] for name in ("lower", "upper"))
            axes.fill_between(sizes, lower, upper, color=style["color"], alpha=0.2, linewidth=0)
        axes.set(title=spread.title, xlabel="|w|", xscale="log", yscale="log")
        axes.set_xscale("log", base=2)
    panels[0].set_ylabel("deviation σ")
    panels[0].legend()
