"""Accuracy and calibration error of networks on images under corruption, by its severity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wfn.figures.intervals import mean_and_half_interval
from wfn.figures.style import WIDTH, line_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = {"top1": "top-1 (%)", "loss": "NLL (nats)", "ece": "expected calibration error"}


@dataclass(frozen=True)
class Endured:
    """One network.

    Attributes:
        label: tells it from others.
        values: measure of :data:`MEASURES` -> severity -> the mean over the corruptions, of each run.
    """

    label: str
    values: Mapping[str, Mapping[int, Sequence[float]]]


def size(networks: Sequence[Endured]) -> tuple[float, float]:
    """Width and height of the figure, inches."""
    return WIDTH, 2.3 + 0.14 * -(-len(networks) // 2)


def draw(canvas: "Figure", networks: Sequence[Endured]) -> None:
    """A panel for each measure, a line for each network, with 95 % intervals over the runs."""
    panels = canvas.subplots(1, len(MEASURES), squeeze=False)[0]
    for axes, (measure, title) in zip(panels, MEASURES.items(), strict=True):
        for number, network in enumerate(networks):
            values = network.values[measure]
            means = [mean_and_half_interval(of_runs) for of_runs in values.values()]
            style: dict[str, Any] = line_style(number) | {"markersize": 3}
            places = [severity + 0.06 * (number - len(networks) / 2) for severity in values]  # bars side by side
            axes.errorbar(
                places, [mean for mean, _ in means], [half for _, half in means], label=network.label, elinewidth=0.6,
                capsize=1.5, **style,
            )  # fmt: skip
        axes.set(xlabel="severity", ylabel=title)
        axes.locator_params(axis="x", integer=True)
    handles, labels = panels[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=2)
