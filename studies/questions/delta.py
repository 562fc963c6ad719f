"""How does delta trade accuracy against the size of the network? (the paper's Figure 3)

Varied: ``delta``, the tolerated relative distance; several networks by ``--vary "model=resnet20,resnet32"``.
Fixed: everything else, at what the command line says. Nuisance: ``seed``. Nothing is pruned.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from studies.design import MAXIMISE, MINIMISE, Grid, Results, Study, Trial

if TYPE_CHECKING:
    from wfn.figures.accuracy_and_size import Line


def draw(results: Results, path: Path) -> None:
    """Top-1 against the size under LZW, a line for each network and its baseline across."""
    from studies.outcome.drawing import write
    from wfn.figures import accuracy_and_size

    networks: dict[str, list[Trial]] = {}
    for trial in results.complete:
        networks.setdefault(trial.settings.get("model", results.base["model"]), []).append(trial)
    lines = [_line(network if len(networks) > 1 else "", trials) for network, trials in networks.items()]
    panels = [accuracy_and_size.Panel("a number at a point is its δ", lines, "kB under LZW")]
    write(results, path, lambda canvas: accuracy_and_size.draw(canvas, panels), accuracy_and_size.size(panels))


def _line(network: str, trials: Sequence[Trial]) -> "Line":
    from wfn.figures.accuracy_and_size import Compressed, Line

    by_delta: dict[float, list[Trial]] = {}
    for trial in sorted(trials, key=lambda trial: trial.settings["delta"]):
        by_delta.setdefault(trial.settings["delta"], []).append(trial)
    points = [
        Compressed(
            [trial.metrics["lzw_bytes"] / 1e3 for trial in repeats],
            [trial.metrics["top1"] for trial in repeats],
            f"{delta:g}",
        )
        for delta, repeats in by_delta.items()
    ]
    return Line(network, points, [trial.metrics["baseline_top1"] for trial in trials])


STUDY = Study(
    varied=Grid({"delta": (0.005, 0.0075, 0.01, 0.015, 0.03)}),
    objectives={"top1": MAXIMISE, "lzw_bytes": MINIMISE},
    draw=draw,
)
