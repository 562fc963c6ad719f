"""The change of top-1 when one layer at a time gets relative or absolute noise (the paper's Figure 2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wfn.figures.intervals import mean_and_half_interval
from wfn.figures.style import WIDTH, line_style, panels_in_rows, row_count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = ("relative", "absolute")
LAYER = "top1_change_layer_"  # begins the name of a layer's change; its number ends it


@dataclass(frozen=True)
class Noised:
    """What noise in one layer after the other did in one trial.

    Attributes:
        kind: of :data:`KINDS`.
        beta: the scale of the noise.
        changes: number of the layer -> change of top-1, percentage points.
    """

    kind: str
    beta: float
    changes: Mapping[int, float]


def changes_by_layer(metrics: Mapping[str, float]) -> dict[int, float]:
    """Number of the layer -> change of top-1, from all metrics of a trial by their names."""
    changes = {int(key.removeprefix(LAYER)): value for key, value in metrics.items() if key.startswith(LAYER)}
    return dict(sorted(changes.items()))


def size(trials: Sequence[Noised]) -> tuple[float, float]:
    """Width and height of the figure, inches."""
    return WIDTH, 2.1 * row_count(len(_betas(trials)))


def draw(canvas: "Figure", trials: Sequence[Noised]) -> None:
    """A panel for each beta, each with a scale of its own: means over the trials, their 95 % intervals shaded."""
    betas = _betas(trials)
    panels = panels_in_rows(canvas, len(betas))
    for axes, beta in zip(panels, betas, strict=True):
        for number, kind in enumerate(KINDS):
            changes = [trial.changes for trial in trials if (trial.beta, trial.kind) == (beta, kind)]
            layers = sorted({layer for each in changes for layer in each})
            means = [mean_and_half_interval([each[layer] for each in changes if layer in each]) for layer in layers]
            style: dict[str, Any] = line_style(number) | {"markersize": 2.5}
            axes.plot(layers, [mean for mean, _ in means], label=kind, **style)
            lowest, highest = ([mean + sign * half for mean, half in means] for sign in (-1, 1))
            axes.fill_between(layers, lowest, highest, color=style["color"], alpha=0.2, linewidth=0)
        axes.set(title=f"β = {beta:g}", xlabel="layer")
        axes.locator_params(axis="x", integer=True)
    panels[0].set_ylabel("change of top-1 (points)")
    panels[0].legend()


def _betas(trials: Sequence[Noised]) -> list[float]:
    return sorted({trial.beta for trial in trials})
