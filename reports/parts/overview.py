"""The first figure: what each method costs in accuracy, against the bits that it leaves."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.document.elements import Figure
from reports.evidence.presentation import told_by_label
from reports.evidence.row import Row, Subject, run_ids, runs_of
from reports.evidence.selection import Evidence
from reports.verdicts.no_loss import margin
from wfn.figures.style import WIDTH, line_style, panels_in_rows, row_count, write_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

LINEAR = 1.0  # percentage points around zero that are drawn to scale; beyond, the scale is logarithmic
TICKS = (-50, -10, -3, -1, -0.5, 0, 0.5, 1, 3, 10)


def overview(evidence: Evidence) -> Figure:
    """The change of top-1 of every row of a method, with its interval, against the entropy of its weights."""
    rows = {subject: shown for subject in evidence.subjects if (shown := _shown(evidence, subject))}
    title = "Overview. Change of top-1 against the entropy of the weights, all methods."
    if not rows:
        return Figure("overview", title, missing="Not drawn: no finished run of a method is among the runs.")
    unpaired = sum(not row.paired for shown in rows.values() for row in shown)
    hollow = f" Hollow: not paired, without an interval ({unpaired})." if unpaired else ""
    return Figure(
        "overview",
        f"{title} Bars: 95 % intervals of the paired change. Dotted: no change; dashed: the margin of {margin():g} "
        "points that the print calls lossless. Beyond one point the scale is logarithmic. Beside a point: δ, number "
        f"of values, or the bits.{hollow} Runs: {run_ids(runs_of(row for shown in rows.values() for row in shown))}.",
        lambda canvas: draw(canvas, rows),
        (WIDTH, 2.6 * row_count(len(rows))),
        floats=False,
    )


def _shown(evidence: Evidence, subject: Subject) -> list[Row]:
    found = [row for row in evidence.rows if row.subject == subject and not row.prefix]
    return [row for row in found if row.mean("entropy_bits") is not None and row.change("top1") is not None]


def draw(canvas: "Canvas", rows: dict[Subject, Sequence[Row]]) -> None:
    """A panel for each subject, a marker for each method."""
    methods = list(dict.fromkeys(row.method for shown in rows.values() for row in shown))
    panels = panels_in_rows(canvas, len(rows))
    for axes, (subject, shown) in zip(panels, rows.items(), strict=True):
        _draw_panel(axes, shown, methods)
        axes.set(title=str(subject), xlabel="entropy (bits a weight)", ylabel="change of top-1 (points)")
    panels[0].legend(loc="best")


def _draw_panel(axes: "Axes", rows: Sequence[Row], methods: Sequence[str]) -> None:
    axes.axhline(0, linestyle=":", color="0.4", linewidth=0.8)
    axes.axhline(-margin(), linestyle="--", color="0.4", linewidth=0.8)
    edges = [0.0, -margin()]
    for method in methods:
        style = line_style(methods.index(method)) | {"linestyle": ""}
        for number, row in enumerate(row for row in rows if row.method == method):
            bits, change = row.mean("entropy_bits"), row.paired
            points = change.points if change else row.change("top1")
            face = style["color"] if change else "white"
            axes.plot(bits, points, **style, markerfacecolor=face, label="" if number else _kind(row))
            if change:
                around = [[points - change.low], [change.high - points]]
                axes.errorbar(bits, points, around, fmt="none", ecolor=style["color"], capsize=2, elinewidth=0.7)
                edges += [change.low, change.high]
            edges.append(points)
            write_beside(axes, _setting(row), bits, points, (5, 0), style["color"])
    axes.set_yscale("symlog", linthresh=LINEAR, linscale=1.5)
    axes.set_ylim(1.5 * min(edges) - 0.1, 1.5 * max(edges) + 0.1)
    low, high = axes.get_ylim()
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.margins(x=0.15)


def _kind(row: Row) -> str:
    """The method's name without the settings in it."""
    return re.split(r" δ|[\d,(]", row.name)[0].strip()


def _setting(row: Row) -> str:
    """The first of the settings in the label, bare."""
    settings = (row.runs[0].params.get(name, "") for name in told_by_label(row.method))
    return next((text for text in settings if text and text not in ("True", "False")), "")
