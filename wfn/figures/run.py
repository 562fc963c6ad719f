"""The figures of one run: its weights before and after, and its iterations in the form of the paper's Figure 5."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

ORDERS = ("1", "2", "3", "4 or more")


def draw_weights(before: Mapping[str, Tensor], after: Mapping[str, Tensor], path: Path) -> None:
    """Histograms of all counted weights before and after, counts on a log scale."""
    with _Figure(1, 2, path) as axes:
        for ax, weights, title in zip(axes, (before, after), ("before", "after"), strict=True):
            values = np.concatenate([tensor.numpy().ravel() for tensor in weights.values()])
            limit = np.quantile(np.abs(values), 0.9995)
            ax.hist(values, bins=np.linspace(-limit, limit, 401), color="0.25", log=True)
            ax.set(title=f"{title}: {len(np.unique(values)):,} unique values", xlabel="weight", ylabel="weights")


def draw_iterations(rows: Sequence[Mapping[str, float]], after: Mapping[str, Tensor], path: Path) -> None:
    """The paper's Figure 5: share fixed, centres and orders an iteration, and the 15 most used values at the end.

    Args:
        rows: an iteration each, as in :attr:`wfn.interface.Quantised.records`.
        after: the fixed weights.
        path: where to write the picture.
    """
    iterations = [row["iteration"] for row in rows]
    with _Figure(1, 4, path) as (fixed, centres, orders, most_used):
        fixed.plot(iterations, [100 * row["share_fixed"] for row in rows], "o-", color="0.2")
        fixed.set(xlabel="iteration", ylabel="weights fixed (%)", ylim=(0, 105))
        centres.plot(iterations, [row["centres"] for row in rows], "o-", color="0.2")
        centres.set(xlabel="iteration", ylabel="centres in use")
        bottom = np.zeros(len(rows))
        for name, shade in zip(("zero", *ORDERS), ("0.9", "0.65", "0.45", "0.25", "0"), strict=True):
            heights = np.array([_orders(row)[name] for row in rows])
            orders.bar(iterations, heights, bottom=bottom, color=shade, edgecolor="k", linewidth=0.3, label=name)
            bottom += heights
        orders.set(xlabel="iteration", ylabel="fixed weights (%)")
        orders.legend(title="order", fontsize=7, title_fontsize=7)
        values, counts = np.unique(np.concatenate([w.numpy().ravel() for w in after.values()]), return_counts=True)
        top = np.argsort(-counts)[:15]
        most_used.bar([f"{value:g}" for value in values[top]], 100 * counts[top] / counts.sum(), color="0.4")
        most_used.tick_params(axis="x", rotation=90)
        most_used.set(xlabel="the 15 most used values", ylabel="weights (%)")


def _orders(row: Mapping[str, float]) -> dict[str, float]:
    """Percent of the fixed weights a name of ``ORDERS``, and zero."""
    counts = {int(key.rpartition("_")[2]): count for key, count in row.items() if key.startswith("weights_order_")}
    shares = {order: 100 * count / max(sum(counts.values()), 1) for order, count in counts.items()}
    more = sum(share for order, share in shares.items() if order >= len(ORDERS))
    return {
        "zero": shares.get(0, 0),
        **{name: shares.get(i, 0) for i, name in enumerate(ORDERS[:-1], 1)},
        ORDERS[-1]: more,
    }


class _Figure:
    """A row of axes that is written to ``path`` when done; never opens a window, and leaves pyplot's state alone."""

    def __init__(self, rows: int, columns: int, path: Path) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self._path = path
        self._figure = Figure(figsize=(3.6 * columns, 3 * rows), layout="constrained", dpi=150)
        FigureCanvasAgg(self._figure)
        self._axes = self._figure.subplots(rows, columns)

    def __enter__(self):
        return self._axes

    def __exit__(self, kind, error, traceback) -> None:
        if kind is None:
            self._figure.savefig(self._path)
