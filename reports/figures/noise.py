"""Figure 2: relative against absolute noise, layer by layer; from the trials of the study of noise."""

from collections.abc import Sequence

from reports.document.document import WIDTH, Figure
from reports.document.figure_files import COLOURS, LINES, MARKERS
from reports.evidence.evidence import Evidence
from reports.evidence.rows import run_ids
from reports.evidence.runs import Run
from reports.verdicts.rules import noise_runs
from studies.outcome.drawing import mean_and_half_interval

TITLE = "Figure 2. Change of top-1 when one layer at a time gets relative or absolute noise."
LAYER = "top1_change_layer_"


def figure(evidence: Evidence) -> Figure:
    """A panel for each beta; the 95 % interval over the repeats shaded."""
    found = noise_runs(evidence.runs)
    if not found:
        missing = "Not drawn: no finished trials of the study “noise” are among the runs."
        return Figure("figure-2", TITLE, missing=missing)
    subject, runs = max(found.items(), key=lambda item: len(item[1]))
    betas = sorted({float(run.params["beta"]) for run in runs})
    repeats = len({run.params["noise_seed"] for run in runs})
    others = [str(other) for other in found if other != subject]
    not_drawn = f" Not drawn: {', '.join(others)}." if others else ""
    return Figure(
        "figure-2",
        f"{TITLE} {subject}; means over the repeats (n = {repeats}), their 95 % intervals shaded; each panel has a "
        f"scale of its own.{not_drawn} Runs: {run_ids(runs)}.",
        lambda canvas: _draw(canvas, runs, betas),
        (WIDTH, 2.1),
    )


def _draw(canvas, runs: Sequence[Run], betas: Sequence[float]) -> None:
    panels = canvas.subplots(1, len(betas), squeeze=False)[0]
    for axes, beta in zip(panels, betas, strict=True):
        for kind, marker, line, colour in zip(("relative", "absolute"), MARKERS, LINES, COLOURS, strict=False):
            some = [run for run in runs if float(run.params["beta"]) == beta and run.params["noise"] == kind]
            keys = {key for run in some for key in run.metrics if key.startswith(LAYER)}
            layers = sorted(int(key.removeprefix(LAYER)) for key in keys)
            found = [[run.metrics[f"{LAYER}{layer:02}"] for run in some] for layer in layers]
            means, halves = zip(*map(mean_and_half_interval, found), strict=True) if found else ((), ())
            axes.plot(layers, means, marker=marker, linestyle=line, color=colour, label=kind)
            lowest = [mean - half for mean, half in zip(means, halves, strict=True)]
            highest = [mean + half for mean, half in zip(means, halves, strict=True)]
            axes.fill_between(layers, lowest, highest, color=colour, alpha=0.2, linewidth=0)
        axes.set(title=f"β = {beta:g}", xlabel="layer")
        axes.locator_params(axis="x", integer=True)
    panels[0].set_ylabel("change of top-1 (points)")
    panels[0].legend()
