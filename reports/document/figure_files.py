"""A report's figures as files."""

from pathlib import Path

from reports.document.elements import Figure
from wfn.figures.style import render_each
from wfn.system.files import write_atomically

FORMATS = ("pdf", "svg")  # for the document, and for Markdown


def write(figure: Figure, folder: Path) -> None:
    """Draw ``figure`` into ``folder``, in each of :data:`FORMATS`.

    Raises:
        OSError: a file cannot be written.
    """
    for form, picture in render_each(figure.draw, figure.size, FORMATS).items():
        write_atomically(folder / f"{figure.name}.{form}", picture)
