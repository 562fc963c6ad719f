"""How does delta trade accuracy against the size of the network? (the paper's Figure 3)

Varied: ``delta``, the tolerated relative distance; several networks by ``--vary "model=resnet20,resnet32"``.
Fixed: everything else, at what the command line says. Nuisance: ``seed``. Nothing is pruned.
"""

from pathlib import Path

from studies.design import MAXIMISE, MINIMISE, Grid, Results, Study


def draw(results: Results, path: Path) -> None:
    """Top-1 against the size under LZW, a line for each network and its baseline across."""
    from studies.outcome.drawing import (
        GREYS,
        LINES,
        MARKERS,
        figure,
        mean_and_half_interval,
    )

    with figure(results, 1, 1, path, width=5.5, height=4) as axes:
        ax = axes[0][0]
        networks = dict.fromkeys(trial.settings.get("model", results.base["model"]) for trial in results.complete)
        for network, marker, line, grey in zip(networks, MARKERS, LINES, GREYS, strict=False):
            trials = [t for t in results.complete if t.settings.get("model", results.base["model"]) == network]
            points = []
            for delta in sorted({trial.settings["delta"] for trial in trials}):
                same = [trial.metrics for trial in trials if trial.settings["delta"] == delta]
                sizes, accuracies = ([m[key] for m in same] for key in ("lzw_bytes", "top1"))
                points.append((delta, *mean_and_half_interval(sizes), *mean_and_half_interval(accuracies)))
            deltas, size, size_half, accuracy, accuracy_half = zip(*points, strict=True)
            kilobytes, halves = ([value / 1e3 for value in values] for values in (size, size_half))
            ax.errorbar(
                kilobytes, accuracy, accuracy_half, halves,
                marker=marker, linestyle=line, color=grey, capsize=3, label=network,
            )  # fmt: skip
            for x, y, delta in zip(kilobytes, accuracy, deltas, strict=True):
                ax.annotate(f"δ={delta:g}", (x, y), textcoords="offset points", xytext=(5, -10), fontsize=7)
            baseline, _ = mean_and_half_interval([trial.metrics["baseline_top1"] for trial in trials])
            ax.axhline(baseline, linestyle=":", color=grey, linewidth=1)
        ax.set(xlabel="size under LZW (kB)", ylabel="top-1 (%), dotted: before")
        ax.legend()


STUDY = Study(
    varied=Grid({"delta": (0.005, 0.0075, 0.01, 0.015, 0.03)}),
    objectives={"top1": MAXIMISE, "lzw_bytes": MINIMISE},
    draw=draw,
)
