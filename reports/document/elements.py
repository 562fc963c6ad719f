"""What a report is made of, whatever it is written as: PDF, Markdown and CSV show the same texts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from wfn.figures.style import WIDTH

TALLEST = 8.0  # inches that leave room for a caption on the same page


@dataclass(frozen=True)
class Heading:
    """The title of a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Running text, with a few words before it that stand out."""

    text: str
    lead: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: what stands above it.
        width: its part of what is left of the line; 0 takes what its cells need.
        numeric: set flush right.
        code: hashes and ids, set in a typewriter's letters.
        strong: its cells stand out.
    """

    title: str
    width: float = 0
    numeric: bool = False
    code: bool = False
    strong: bool = False


@dataclass(frozen=True)
class Group:
    """Rows under a title of their own, such as those of one network."""

    title: str
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """Groups of one origin, which tables keep clearly apart: measured by us, or printed in the paper."""

    title: str
    groups: Sequence[Group]


@dataclass(frozen=True)
class Table:
    """A table; ``name`` is that of its file, ``caption`` begins with what the text calls it.

    One that is ``wide`` stands across pages of its own, turned on their sides.
    """

    name: str
    caption: str
    columns: Sequence[Column]
    sections: Sequence[Section]
    notes: Sequence[str] = ()
    wide: bool = False

    @property
    def is_prose(self) -> bool:
        """Whether its cells are text to read, rather than rows of numbers in sections."""
        return not any(section.title for section in self.sections)


@dataclass(frozen=True)
class Figure:
    """A figure, or why there is none.

    Attributes:
        name: that of its file.
        caption: begins with what the text calls it.
        draw: draws it into an empty ``matplotlib.figure.Figure``; None where nothing can be drawn.
        size: width and height in inches.
        missing: said in its place.
        floats: whether it may stand at the top or the foot of a page rather than between its neighbours.
    """

    name: str
    caption: str
    draw: Callable[[Any], None] | None = None
    size: tuple[float, float] = (WIDTH, 2.2)
    missing: str = ""
    floats: bool = True


Block = Heading | Paragraph | Table | Figure


@dataclass(frozen=True)
class Document:
    """A report."""

    title: str
    subtitle: str
    blocks: Sequence[Block] = field(default_factory=tuple)

    @property
    def tables(self) -> list[Table]:
        """All tables."""
        return [block for block in self.blocks if isinstance(block, Table)]

    @property
    def figures(self) -> list[Figure]:
        """All figures that can be drawn."""
        return [block for block in self.blocks if isinstance(block, Figure) and block.draw]
