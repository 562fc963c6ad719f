"""Reliability diagrams: accuracy against confidence, bin by bin, and how many images each bin has."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wfn.figures.style import ACROSS, BAR_EDGE, COLOURS, WIDTH, row_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Bin = tuple[float, float, float]  # images, the sum of their confidence, how many are right


@dataclass(frozen=True)
class Diagram:
    """One network.

    Attributes:
        title: stands above, in as many lines as it has.
        bins: of equal width from 0 to 1.
    """

    title: str
    bins: Sequence[Bin]

    @property
    def error(self) -> float:
        """The expected calibration error."""
        images = sum(count for count, _, _ in self.bins)
        return sum(abs(confidence - right) for _, confidence, right in self.bins) / images if images else 0.0


def size(diagrams: Sequence[Diagram]) -> tuple[float, float]:
    """Width and height of the figure, inches."""
    return WIDTH, 2.35 * row_count(len(diagrams))


def draw(canvas: "Figure", diagrams: Sequence[Diagram]) -> None:
    """Two panels for each network: accuracy against confidence above, images a bin below."""
    rows, across = row_count(len(diagrams)), min(ACROSS, len(diagrams))
    panels = canvas.subplots(2 * rows, across, squeeze=False, sharex=True, height_ratios=[3, 1] * rows)
    for number in range(rows * across):
        row, column = divmod(number, across)
        accuracy, counts = panels[2 * row][column], panels[2 * row + 1][column]
        if number >= len(diagrams):
            accuracy.remove()
            counts.remove()
            continue
        _draw_accuracy(accuracy, diagrams[number])
        _draw_counts(counts, diagrams[number])
        if column == 0:
            accuracy.set_ylabel("accuracy")
            counts.set_ylabel("images")


def _draw_accuracy(axes: "Axes", diagram: Diagram) -> None:
    filled = [(number, each) for number, each in enumerate(diagram.bins) if each[0]]
    width = 1 / len(diagram.bins)
    centres = [(number + 0.5) * width for number, _ in filled]
    axes.bar(centres, [right / count for _, (count, _, right) in filled], 0.9 * width, color="0.75", **BAR_EDGE)
    axes.plot([0, 1], [0, 1], color="0.4", linestyle=":", linewidth=0.8)
    axes.plot(
        [confidence / count for _, (count, confidence, _) in filled],
        [right / count for _, (count, _, right) in filled],
        "o", color=COLOURS[1], markersize=2.5,
    )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1.02), title=f"{diagram.title}\nECE {diagram.error:.4f}")
    axes.title.set_fontsize(7)


def _draw_counts(axes: "Axes", diagram: Diagram) -> None:
    width = 1 / len(diagram.bins)
    centres = [(number + 0.5) * width for number in range(len(diagram.bins))]
    axes.bar(centres, [count for count, _, _ in diagram.bins], 0.9 * width, color="0.4")
    axes.set_yscale("log")
    axes.set(ylim=(0.7, None), xlabel="confidence")
