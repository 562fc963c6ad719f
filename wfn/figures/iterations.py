"""How fixing goes on from iteration to iteration, and which values are used most at its end (the paper's Figure 5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wfn.figures.style import BAR_EDGE, WIDTH, line_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_USED = 15
ORDER = "weights_order_"  # begins the name of a count of weights; the order's number ends it
SHADES = {"0": "0.92", "1": "0.7", "2": "0.45", "3": "0.2", "4 or more": "0"}
LAST = len(SHADES) - 1  # the order from which on all are one

Row = Mapping[str, float]


@dataclass(frozen=True)
class Curve:
    """One network's way to the end.

    Attributes:
        label: tells it from others in the same panel; empty where it is alone.
        rows: an iteration each: ``iteration``, ``share_fixed`` (0 to 1) and ``centres``.
    """

    label: str
    rows: Sequence[Row]


@dataclass(frozen=True)
class Fixing:
    """A row of four panels.

    Attributes:
        curves: shares fixed and centres in use.
        orders: an iteration each: ``iteration``, and how many of the weights fixed by then have each order
            (``weights_order_0`` for zero, ``weights_order_1``, ...: powers of two that sum to the value).
        values: the shared values with how many weights have each, most used first; none where they are unknown.
    """

    curves: Sequence[Curve]
    orders: Sequence[Row]
    values: Sequence[tuple[float, int]]


def size(count: int) -> tuple[float, float]:
    """Width and height of the figure of so many rows of panels, inches."""
    return WIDTH, 2.05 * count


def draw(canvas: "Figure", rows: Sequence[Fixing]) -> None:
    """Weights fixed, centres, orders of the fixed weights and the most used values: four panels a row."""
    panels = canvas.subplots(len(rows), 4, squeeze=False)
    for (share, centres, orders, values), row in zip(panels, rows, strict=True):
        for number, curve in enumerate(row.curves):
            style = line_style(number) | {"label": curve.label}
            iterations = [line["iteration"] for line in curve.rows]
            share.plot(iterations, [100 * line["share_fixed"] for line in curve.rows], **style)
            centres.plot(iterations, [line["centres"] for line in curve.rows], **style)
        share.set(ylabel="weights fixed (%)", ylim=(0, 105))
        centres.set(ylabel="centres", ylim=(0, None))
        if any(curve.label for curve in row.curves):
            centres.legend()
        _draw_orders(orders, row.orders)
        _draw_values(values, row.values)
        for axes in (share, centres, orders):
            axes.set_xlabel("iteration")
            axes.locator_params(axis="x", integer=True)


def shares_of_orders(row: Row) -> dict[str, float]:
    """Percent of the weights fixed by then for each name of :data:`SHADES`; all 0 where none is fixed."""
    counts = dict.fromkeys(SHADES, 0.0)
    names = list(SHADES)
    for key, count in row.items():
        if key.startswith(ORDER):
            counts[names[min(int(key.removeprefix(ORDER)), LAST)]] += count
    total = sum(counts.values()) or 1
    return {name: 100 * count / total for name, count in counts.items()}


def _draw_orders(axes: "Axes", rows: Sequence[Row]) -> None:
    iterations = [row["iteration"] for row in rows]
    shares = [shares_of_orders(row) for row in rows]
    bottom = [0.0] * len(rows)
    for name, shade in SHADES.items():
        heights = [share[name] for share in shares]
        axes.bar(iterations, heights, bottom=bottom, color=shade, width=0.85, label=name, **BAR_EDGE)
        bottom = [below + height for below, height in zip(bottom, heights, strict=True)]
    axes.set(ylabel="of the fixed weights (%)", ylim=(0, 100))
    axes.legend(
        title="order", loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=5, columnspacing=0.5, handlelength=0.7,
        handletextpad=0.25, fontsize=6, title_fontsize=6,
    )  # fmt: skip


def _draw_values(axes: "Axes", values: Sequence[tuple[float, int]]) -> None:
    if not values:
        axes.text(0.5, 0.5, "no codebook", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    total = sum(count for _, count in values)
    top = values[:MOST_USED]
    axes.bar(range(len(top)), [100 * count / total for _, count in top], color="0.4", width=0.8)
    labels = [f"{value:.3g}".replace("-", "−") for value, _ in top]
    axes.set_xticks(range(len(top)), labels, rotation=90, fontsize=5.5)
    axes.set(ylabel="of all weights (%)", xlabel="most used values")
