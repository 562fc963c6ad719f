"""What a search over settings came to: the front that no other trial beats, its volume, and which settings matter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wfn.figures.style import BAR_EDGE, GREYS, HATCHES, WIDTH, cycle, logarithmic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (WIDTH, 5.0)
FEW_DECADES = 200  # the largest count of the least at which ticks at 1, 2, 5, 10, ... find room


@dataclass(frozen=True)
class Candidate:
    """One trial: its accuracy and what it is traded against, and whether no other trial beats it in everything."""

    top1: float
    entropy_bits: float
    unique_params: float
    is_on_front: bool


def draw(
    canvas: "Figure",
    trials: Sequence[Candidate],
    hypervolumes: Sequence[float],
    importances: Mapping[str, Mapping[str, float]],
) -> None:
    """The front from two sides, the hypervolume from trial to trial, and how much each setting matters.

    Args:
        canvas: an empty figure.
        trials: in the order in which they were done.
        hypervolumes: after each trial, 0 to 1: of the box around all trials, what is no better than some of them.
        importances: label of an objective -> setting -> its share, 0 to 1.
    """
    (entropy, unique), (volume, importance) = canvas.subplots(2, 2)
    for axes, across, label in (
        (entropy, "entropy_bits", "entropy (bits)"),
        (unique, "unique_params", "unique values"),
    ):
        for on_front, style in ((False, {"marker": "x", "color": "0.6"}), (True, {"marker": "o", "color": "0"})):
            points = [trial for trial in trials if trial.is_on_front is on_front]
            name = "on the front" if on_front else "not on it"
            axes.scatter([getattr(p, across) for p in points], [p.top1 for p in points], s=12, label=name, **style)
        axes.set(xlabel=label, ylabel="top-1, held back (%)")
    _space_ticks(unique, [trial.unique_params for trial in trials])
    entropy.legend()
    volume.step(range(1, len(trials) + 1), hypervolumes, where="post", color="0.2")
    volume.set(xlabel="trials done", ylabel="hypervolume (of the box around all)")
    volume.locator_params(axis="x", integer=True)
    _draw_importances(importance, importances)


def _space_ticks(axes: "Axes", counts: Sequence[float]) -> None:
    """Counts over more than a decade stand on a logarithmic axis; over several, ticks are powers of ten alone."""
    spread = max(counts) / max(min(counts), 1)
    if spread > 10:
        logarithmic(axes, "x", (1, 2, 5) if spread < FEW_DECADES else (1,))
    else:
        axes.locator_params(axis="x", nbins=6, integer=True)


def _draw_importances(axes: "Axes", importances: Mapping[str, Mapping[str, float]]) -> None:
    height = 0.75 / max(len(importances), 1)
    for number, (label, shares) in enumerate(importances.items()):
        places = [place + (number - (len(importances) - 1) / 2) * height for place in range(len(shares))]
        look: dict[str, Any] = {"color": cycle(GREYS, number), "hatch": cycle(HATCHES, number)}
        axes.barh(places, list(shares.values()), height, label=label, **look, **BAR_EDGE)
        if shares:
            axes.set_yticks(range(len(shares)), list(shares))
    axes.invert_yaxis()
    axes.set(xlabel="importance")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, columnspacing=1)  # bars can be anywhere below
