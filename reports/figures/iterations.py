"""Figure 5: how fixing goes on from iteration to iteration, and what values are used most in the end."""

from reports.document.document import TALLEST, WIDTH, Figure
from reports.document.figure_files import COLOURS, LINES, MARKERS, cycle
from reports.evidence.evidence import Evidence
from reports.evidence.rows import Row, conditions, run_ids, runs_of
from reports.verdicts.rules import mean_by_iteration

TITLE = "Figure 5. Share of weights fixed, centres and orders an iteration, and the most used values."
MOST_USED = 15
ORDERS = {"0": "0.92", "1": "0.7", "2": "0.45", "3": "0.2", "4 or more": "0"}


def figure(evidence: Evidence) -> Figure:
    """Four panels for each subject: a line for each delta, then orders and values of the least one."""
    found = {}
    for subject in evidence.subjects:
        rows = [row for row in evidence.over_delta(subject) if row.runs[0].iterations]
        if rows:
            found[subject] = rows
    if not found:
        return Figure("figure-5", TITLE, missing="Not drawn: no finished run of WFN is among the runs.")
    without = [str(subject) for subject, rows in found.items() if not rows[0].runs[0].codebook]
    said = f" No codebook was found for {', '.join(without)}." if without else ""
    order = "; ".join(f"{conditions(rows[0])} (δ = {rows[0].delta:g})" for rows in found.values())
    runs = run_ids(runs_of(row for rows in found.values() for row in rows))
    return Figure(
        "figure-5",
        f"{TITLE} From above: {order}. Orders (0 is the value zero) and the {MOST_USED} most used values are those of "
        f"the smallest δ's first run.{said} Runs: {runs}.",
        lambda canvas: _draw(canvas, list(found.values())),
        (WIDTH, min(1.95 * len(found), TALLEST)),
    )


def _draw(canvas, subjects: list[list[Row]]) -> None:
    panels = canvas.subplots(len(subjects), 4, squeeze=False)
    for (share, centres, orders, values), rows in zip(panels, subjects, strict=True):
        for number, row in enumerate(rows):
            style = {
                "marker": cycle(MARKERS, number),
                "linestyle": cycle(LINES, number),
                "color": cycle(COLOURS, number),
                "label": f"δ = {row.delta:g}",
            }
            fixed, count = mean_by_iteration(row, "share_fixed"), mean_by_iteration(row, "centres")
            share.plot(list(fixed), [100 * value for value in fixed.values()], **style)
            centres.plot(list(count), list(count.values()), **style)
        share.set(ylabel="weights fixed (%)", ylim=(0, 105))
        centres.set(ylabel="centres", ylim=(0, None))
        centres.legend()
        _draw_orders(orders, rows[0])
        _draw_values(values, rows[0])
        for axes in (share, centres, orders):
            axes.set_xlabel("iteration")


def _draw_orders(axes, row: Row) -> None:
    iterations = row.runs[0].iterations
    numbers = [int(iteration["iteration"]) for iteration in iterations]
    bottom = [0.0] * len(numbers)
    for number, (name, shade) in enumerate(ORDERS.items()):
        shares = [_share(iteration, number, number == len(ORDERS) - 1) for iteration in iterations]
        axes.bar(numbers, shares, bottom=bottom, color=shade, edgecolor="black", linewidth=0.3, width=0.85, label=name)
        bottom = [below + share for below, share in zip(bottom, shares, strict=True)]
    axes.set(ylabel="of the fixed weights (%)", ylim=(0, 100))
    axes.legend(
        title="order", loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=5, columnspacing=0.5, handlelength=0.7,
        handletextpad=0.25, fontsize=6, title_fontsize=6,
    )  # fmt: skip


def _share(iteration, order: int, and_above: bool) -> float:
    """Percent of the weights fixed by then that have that order."""
    orders = {int(key.rpartition("_")[2]): iteration[key] for key in iteration if key.startswith("weights_order_")}
    wanted = [value for key, value in orders.items() if key == order or (and_above and key > order)]
    return 100 * sum(wanted) / max(sum(orders.values()), 1)


def _draw_values(axes, row: Row) -> None:
    codebook = row.runs[0].codebook
    if not codebook:
        axes.text(0.5, 0.5, "no codebook", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    total = sum(entry.weights for entry in codebook)
    top = codebook[:MOST_USED]
    axes.bar(range(len(top)), [100 * entry.weights / total for entry in top], color="0.4", width=0.8)
    labels = [f"{entry.value:.3g}".replace("-", "−") for entry in top]
    axes.set_xticks(range(len(top)), labels, rotation=90, fontsize=5.5)
    axes.set(ylabel="of all weights (%)")
