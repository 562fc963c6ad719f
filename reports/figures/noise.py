"""Figure 2: relative against absolute noise, layer by layer; from the trials of the study of noise."""

from collections.abc import Sequence

from reports.document import WIDTH, Figure
from reports.evidence import Evidence
from reports.figures.drawing import COLOURS, LINES, MARKERS
from reports.judging import noise_runs
from reports.rows import run_ids
from reports.runs import Run

TITLE = "Figure 2. Change of top-1 when one layer at a time gets relative or absolute noise."
LAYER = "top1_change_layer_"


def figure(evidence: Evidence) -> Figure:
    """A panel for each beta; the spread of the repeats shaded."""
    runs = noise_runs(evidence.runs)
    if not runs:
        missing = "Not drawn: no finished trials of the study “noise” are among the runs."
        return Figure("figure-2", TITLE, missing=missing)
    betas = sorted({float(run.params["beta"]) for run in runs})
    return Figure(
        "figure-2",
        f"{TITLE} Means over the repeats; shaded from the least to the largest. Runs: {run_ids(runs)}.",
        lambda canvas: _draw(canvas, runs, betas),
        (WIDTH, 2.1),
    )


def _draw(canvas, runs: Sequence[Run], betas: Sequence[float]) -> None:
    panels = canvas.subplots(1, len(betas), sharey=True, squeeze=False)[0]
    for axes, beta in zip(panels, betas, strict=True):
        for kind, marker, line, colour in zip(("relative", "absolute"), MARKERS, LINES, COLOURS, strict=False):
            some = [run for run in runs if float(run.params["beta"]) == beta and run.params["noise"] == kind]
            keys = {key for run in some for key in run.metrics if key.startswith(LAYER)}
            layers = sorted(int(key.removeprefix(LAYER)) for key in keys)
            found = [[run.metrics[f"{LAYER}{layer:02}"] for run in some] for layer in layers]
            means = [sum(changes) / len(changes) for changes in found]
            axes.plot(layers, means, marker=marker, linestyle=line, color=colour, label=kind)
            lowest, highest = [min(changes) for changes in found], [max(changes) for changes in found]
            axes.fill_between(layers, lowest, highest, color=colour, alpha=0.2, linewidth=0)
        axes.set(title=f"β = {beta:g}", xlabel="layer")
        axes.locator_params(axis="x", integer=True)
    panels[0].set_ylabel("change of top-1 (points)")
    panels[0].legend()
