"""The weights of one run, before and after."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wfn.figures.style import WIDTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = (WIDTH, 2.2)
BINS = 400
SHOWN = 0.9995  # of the weights lie within the panel, so that a few large ones do not leave it empty


def draw(canvas: "Figure", before: Sequence[float] | np.ndarray, after: Sequence[float] | np.ndarray) -> None:
    """Histograms of all weights before and after, how many on a log scale, each over a range of its own.

    Args:
        canvas: an empty figure.
        before: the float network's counted weights [n].
        after: the fixed network's [n].
    """
    for axes, weights, title in zip(canvas.subplots(1, 2), (before, after), ("before", "after"), strict=True):
        values = np.asarray(weights)
        limit = float(np.quantile(np.abs(values), SHOWN)) or 1.0
        counts, edges = np.histogram(values, np.linspace(-limit, limit, BINS + 1))
        axes.stairs(counts, edges, fill=True, color="0.25")  # one patch: bars take a second to draw
        axes.set(
            yscale="log",
            ylim=(0.5, None),
            title=f"{title}: {len(np.unique(values)):,} unique values",
            xlabel="weight",
            ylabel="weights",
        )
