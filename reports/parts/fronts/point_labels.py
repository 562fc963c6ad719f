"""Labels of the points of a figure, written where there is room: on no marker, bar, line or other label."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wfn.figures.style import write_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# All in points of print.
LETTER, LINE = 3.5, 7.5  # what a letter of a label and a line take
NEAR, FAR = (5.0,), (14.0, 24.0, 34.0)  # from a point to its label, and to one at the end of a thin line
THIN = 0.5  # half a line's width
BEYOND = 4.0  # by which a label may leave the axes on the right

Box = tuple[float, float, float, float]  # left, bottom, right, top: points of print on the page
AROUND = ((1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1))  # a point: right, left, ...


@dataclass(frozen=True)
class Labelled:
    """A point that is drawn, and what is to be written beside it.

    Attributes:
        text: nothing is written where it is empty.
        x, y: where it lies, in the units of the axes.
        color: of the text.
        bar: the ends of a bar up and down through it; none where it has none.
        size: of its marker, points of print.
        matters: whether its label may stand further away, at the end of a thin line, before it is left out.
    """

    text: str
    x: float
    y: float
    color: str
    bar: tuple[float, float] | None = None
    size: float = 0.0
    matters: bool = False


def write_labels(axes: "Axes", points: Sequence[Labelled], lines: Sequence[float] = ()) -> None:
    """Write the labels of ``points``, the first one first; one for which there is no room is left out.

    The figure must have been laid out. ``lines`` are the heights of lines across the axes.
    """
    scale = 72 / axes.get_figure().dpi
    left, bottom, right, top = axes.get_window_extent().extents * scale
    frame = left, bottom, right + BEYOND, top
    taken = [box for point in points for box in _marks(axes, point, scale)]
    across = [_on_page(axes, axes.get_xlim()[0], height, scale)[1] for height in lines]
    taken += [(left, height - THIN, right, height + THIN) for height in across]
    for point in points:
        x, y = _on_page(axes, point.x, point.y, scale)
        places = _around(x, y, LETTER * len(point.text), NEAR + FAR if point.matters else NEAR)
        for distance, box in places if point.text else ():
            boxes = [box, *(_path(x, y, box) if distance in FAR else [])]
            if _is_within(box, frame) and not any(_overlap(one, other) for one in boxes for other in taken):
                taken += boxes
                offset = box[0] - x, (box[1] + box[3]) / 2 - y
                label = write_beside(axes, point.text, point.x, point.y, offset, point.color, lined=distance in FAR)
                label.set_in_layout(False)  # else the points would move from where they lay
                break


def _on_page(axes: "Axes", x: float, y: float, scale: float) -> tuple[float, float]:
    across, up = axes.transData.transform((x, y)) * scale
    return across, up


def _marks(axes: "Axes", point: Labelled, scale: float) -> list[Box]:
    """What a point covers: its marker and its bar."""
    (x, y), half = _on_page(axes, point.x, point.y, scale), point.size / 2
    boxes = [(x - half, y - half, x + half, y + half)]
    if point.bar:
        low, high = (_on_page(axes, point.x, end, scale)[1] for end in point.bar)
        boxes.append((x - THIN, low, x + THIN, high))
    return boxes


def _around(x: float, y: float, width: float, distances: Sequence[float]) -> Iterator[tuple[float, Box]]:
    """Boxes of a label around a point, the best place first, each with its distance."""
    for distance in distances:
        for across, up in AROUND:
            left = x + {1: distance, 0: -width / 2, -1: -distance - width}[across]
            middle = y + up * (distance if across else distance + LINE / 2)
            yield distance, (left, middle - LINE / 2, left + width, middle + LINE / 2)


def _path(x: float, y: float, box: Box) -> list[Box]:
    """What a thin line from a point to the middle of a label's nearer side covers, but for its ends."""
    side, middle = min(max(x, box[0]), box[2]), (box[1] + box[3]) / 2
    steps = [(x + (side - x) * part, y + (middle - y) * part) for part in (0.4, 0.6, 0.8)]
    return [(across - THIN, up - THIN, across + THIN, up + THIN) for across, up in steps]


def _is_within(box: Box, frame: Box) -> bool:
    return frame[0] <= box[0] and frame[1] <= box[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _overlap(box: Box, other: Box) -> bool:
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
