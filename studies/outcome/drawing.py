"""Figures of studies: readable in grey and without telling colours apart, by markers, lines and hatches."""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from studies.design import Results, Trial
from wfn.runs.settings import WHERE, Settings

MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
GREYS = ("0", "0.35", "0.6", "0.2", "0.5", "0.75")
LETTERS = 14  # of small print that go into an inch
HATCHES = ("", "//", "..", "xx")


@contextmanager
def figure(
    results: Results, rows: int, columns: int, path: Path, *, width: float = 3.6, height: float = 3, **options
) -> Iterator:
    """Rows of axes under a line that says of what, written whole to ``path`` when done.

    It opens no window and leaves pyplot's state alone.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(width * columns, height * rows), layout="constrained", dpi=150)
    FigureCanvasAgg(drawing)
    told = textwrap.fill(conditions(results), int(LETTERS * width * columns), break_long_words=False)
    drawing.suptitle(told, fontsize="small")
    yield drawing.subplots(rows, columns, squeeze=False, **options)
    partial = path.with_name(f".{path.name}")
    drawing.savefig(partial, format=path.suffix.removeprefix("."))
    partial.replace(path)


def conditions(results: Results) -> str:
    """The network, the data, settings that are neither the paper's nor varied, and how many trials are finished."""
    silent = {*WHERE, "device", "model", "dataset", *results.varied}
    told = [
        f"{field.name} = {results.base[field.name]}"
        for field in fields(Settings)
        if field.name not in silent and results.base.get(field.name, field.default) != field.default
    ]
    subject = [f"{results.base[name]}" for name in ("model", "dataset") if name not in results.varied]
    trials = len(results.complete)
    return ", ".join([*([" on ".join(subject)] if subject else []), *told, f"{trials} trial{'s' * (trials != 1)}"])


def mean_and_half_interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and half of its 95 % interval by Student's t; 0 for a single value, which tells of no spread."""
    from statistics import fmean, stdev

    from scipy.stats import t

    n = len(values)
    return fmean(values), float(t.ppf(0.975, n - 1)) * stdev(values) / n**0.5 if n > 1 else 0.0


def draw_means(ax, trials: Sequence[Trial], setting: str, outcome: str, *, join: bool) -> None:
    """Mean and 95 % interval of ``outcome`` over the trials of each value of ``setting``, joined by a line or not."""
    values = sorted({trial.settings[setting] for trial in trials}, reverse=not join)
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    means = [
        mean_and_half_interval([t.metrics[outcome] for t in trials if t.settings[setting] == value]) for value in values
    ]
    ax.errorbar(
        values if numeric else [str(value) for value in values],
        [mean for mean, _ in means],
        [half for _, half in means],
        marker="o", linestyle="-" if join else "none", color="0.1", capsize=4,
    )  # fmt: skip
    if numeric:
        ax.set_xticks(values, [f"{value:g}" for value in values], rotation=45)
    if not join:
        ax.margins(x=0.5)


def logarithmic(ax) -> None:
    """Make the second axis logarithmic, with ticks that are plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
