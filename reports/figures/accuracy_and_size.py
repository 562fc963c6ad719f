"""Figure 3: accuracy against size, over delta."""

from reports import printed
from reports.document.document import TALLEST, WIDTH, Figure
from reports.document.figure_files import COLOURS, LINES, MARKERS, cycle
from reports.evidence.evidence import Evidence
from reports.evidence.rows import Row, conditions, run_ids, runs_of

ACROSS = 4  # panels in a row
TITLE = "Figure 3. Top-1 against size under LZW as δ varies."


def figure(evidence: Evidence) -> Figure:
    """A panel for each measured subject and one for what the paper prints."""
    lines = {}
    for subject in evidence.subjects:
        found = [row for row in evidence.over_delta(subject) if row.mean("lzw_bytes") is not None]
        if found:
            lines[subject] = found
    if not lines:
        return Figure("figure-3", TITLE, missing="Not drawn: no finished run of WFN is among the runs.")
    single = [str(subject) for subject, found in lines.items() if len(found) == 1]
    said = f" No two δ were run under the same settings for {', '.join(single)}." if single else ""
    measured = "; ".join(conditions(found[0]) for found in lines.values())
    runs = run_ids(runs_of(row for found in lines.values() for row in found))
    rows = -(-(len(lines) + 1) // ACROSS)
    return Figure(
        "figure-3",
        f"{TITLE} A number at a point is its δ; dashed: the float network; bars: deviation over the seeds. Last: as "
        f"printed in Table 2.{said} Measured: {measured}. Runs: {runs}.",
        lambda canvas: _draw(canvas, lines),
        (WIDTH, min(2.1 * rows, TALLEST)),
    )


def _draw(canvas, lines: dict) -> None:
    rows = -(-(len(lines) + 1) // ACROSS)
    panels = canvas.subplots(rows, min(ACROSS, len(lines) + 1), squeeze=False).ravel()
    for axes, (subject, found) in zip(panels, lines.items(), strict=False):
        _measured(axes, found)
        scores = [row.mean("top1") + sign * (row.deviation("top1") or 0) for row in found for sign in (-1, 1)]
        before = found[0].mean("baseline_top1")
        if before is not None:
            axes.axhline(before, linestyle="--", color="0.5", linewidth=0.8)
            scores.append(before)
        room = max(0.2 * (max(scores) - min(scores)), 0.5)  # less than a point should not look like a cliff
        axes.set(title=str(subject), xlabel="size (kB)", ylabel="top-1 (%)")
        axes.set_ylim(min(scores) - room, max(scores) + room)
        axes.margins(x=0.25)
    _as_printed(panels[len(lines)])
    for axes in panels[len(lines) + 1 :]:
        axes.remove()


def _measured(axes, found: list[Row]) -> None:
    sizes, scores = [row.mean("lzw_bytes") / 1e3 for row in found], [row.mean("top1") for row in found]
    axes.errorbar(
        sizes,
        scores,
        [row.deviation("top1") or 0 for row in found],
        [(row.deviation("lzw_bytes") or 0) / 1e3 for row in found],
        marker="o",
        color=COLOURS[0],
        capsize=2,
        elinewidth=0.7,
    )
    for row, size, score in zip(found, sizes, scores, strict=True):
        axes.annotate(f"{row.delta:g}", (size, score), (4, -8), textcoords="offset points", fontsize=7)


def _as_printed(axes) -> None:
    for number, model in enumerate(("ResNet-18", "ResNet-34", "ResNet-50")):
        fixed = [line for line in printed.table2() if line["model"] == model and line["method"] == "WFN"]
        baseline = float(printed.find(printed.table2(), model, "Baseline")["top1"])
        colour = COLOURS[number]
        axes.plot(
            [float(line["model_size_mb"]) for line in fixed],
            [float(line["top1"]) for line in fixed],
            marker=cycle(MARKERS, number),
            linestyle=cycle(LINES, number),
            color=colour,
            markerfacecolor="white",
        )
        lowest = min(fixed, key=lambda line: float(line["top1"]))
        point = float(lowest["model_size_mb"]), float(lowest["top1"])
        axes.annotate(model, point, (3, -9), textcoords="offset points", color=colour, fontsize=7)
        axes.axhline(baseline, linestyle="--", color=colour, linewidth=0.5)
    axes.set(title="printed: ImageNet", xlabel="size (MB)", ylabel="top-1 (%)")
    axes.margins(x=0.2, y=0.15)
