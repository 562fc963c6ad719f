"""Unique values and entropy of networks, side by side (the paper's Figure 1)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wfn.figures.style import GREYS, HATCHES, WIDTH, write_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Bar:
    """One network under one method.

    Attributes:
        label: what it is.
        unique: its distinct values.
        nonzero_bits: entropy with the zeros left out, bits a weight.
        all_bits: the same over all weights, where it is known.
        is_printed: whether the numbers are the paper's: the bar is hatched.
        is_compared: whether this is the method that the others are compared with: the bar is lighter.
        stated: another number of distinct values that is given for it elsewhere in the paper's text.
    """

    label: str
    unique: float
    nonzero_bits: float
    all_bits: float | None = None
    is_printed: bool = False
    is_compared: bool = False
    stated: float | None = None


def size(bars: Sequence[Bar]) -> tuple[float, float]:
    """Width and height of the figure, inches."""
    return WIDTH, 0.75 + 0.2 * len(bars)


def draw(canvas: "Figure", bars: Sequence[Bar]) -> None:
    """Unique values on a log scale, and entropy with the zeros left out; a tick marks it over all weights."""
    left, right = canvas.subplots(1, 2, sharey=True)
    for place, bar in enumerate(bars):
        _draw_bar(left, bar, place, bar.unique)
        write_beside(left, f"{bar.unique:,.0f}", bar.unique, place)
        if bar.stated is not None:
            left.plot([bar.stated], [place], "|", color=GREYS[0], markersize=8, markeredgewidth=1.2)
            write_beside(left, f"{bar.stated:,.0f} (text)", bar.stated, place)
        _draw_bar(right, bar, place, bar.nonzero_bits)
        write_beside(right, f"{bar.nonzero_bits:.2f}", max(bar.nonzero_bits, bar.all_bits or 0), place)
        if bar.all_bits is not None:
            for colour, width in (("white", 2.8), ("black", 1.2)):  # seen on bars of any shade
                right.plot([bar.all_bits], [place], "|", color=colour, markersize=9, markeredgewidth=width)
    counts = [count for bar in bars for count in (bar.unique, bar.stated) if count is not None]
    left.set_xscale("log")
    left.set(xlabel="unique values", xlim=(0.5 * min(counts), 10 * max(counts)))
    most_bits = max(max(bar.nonzero_bits, bar.all_bits or 0) for bar in bars)
    right.set(xlabel="entropy (bits a weight)", xlim=(0, 1.18 * most_bits or 1))
    left.set_yticks(range(len(bars)), [bar.label for bar in bars])
    left.invert_yaxis()
    right.tick_params(axis="y", length=0)


def _draw_bar(axes: "Axes", bar: Bar, place: int, value: float) -> None:
    shade = GREYS[bar.is_compared]
    face, hatch = ("white", HATCHES[1 if bar.is_compared else 2]) if bar.is_printed else (shade, "")
    axes.barh(place, value, color=face, edgecolor=shade, hatch=hatch, linewidth=0.6, height=0.72)
