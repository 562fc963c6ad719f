"""How many values a network takes, and their entropy, from round to round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wfn.figures.style import WIDTH, line_style, logarithmic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = {"unique_params": "unique values", "entropy_bits": "entropy (bits a weight)"}


@dataclass(frozen=True)
class Course:
    """One method's way to the end.

    Attributes:
        label: tells it from others.
        values: measure of :data:`MEASURES` -> its mean by the round's number.
    """

    label: str
    values: Mapping[str, Mapping[int, float]]


def size(courses: Sequence[Course]) -> tuple[float, float]:
    """Width and height of the figure, inches."""
    return WIDTH, 2.3


def draw(canvas: "Figure", courses: Sequence[Course]) -> None:
    """A panel for each measure, a line for each method."""
    panels = canvas.subplots(1, len(MEASURES), squeeze=False)[0]
    for axes, (measure, title) in zip(panels, MEASURES.items(), strict=True):
        for number, course in enumerate(courses):
            values = course.values.get(measure, {})
            axes.plot(list(values), list(values.values()), label=course.label, **line_style(number))
        axes.set(xlabel="round, or part of the run", ylabel=title)
        axes.locator_params(axis="x", integer=True)
    logarithmic(panels[0], "y")
    panels[0].legend()
