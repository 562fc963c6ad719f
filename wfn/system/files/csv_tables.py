"""Tables as CSV, which a spreadsheet opens without acting on what stands in them."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence

from wfn.errors import printable

# A number as tables have it: with its deviation, interval or count behind it, or that it is not paired.
NUMBER = re.compile(r"[+-]?\d[\d.,]*%?( (\(not paired\)|\(n = \d+\)|[\[(±]?[+−-]?\d[\d.,]*[\]),]?))*")


def csv_lines(lines: Iterable[Sequence[object]]) -> str:
    """Lines of cells as CSV; each ends in a newline alone, and None is an empty cell.

    A text that a spreadsheet would take for a formula has an apostrophe before it, which makes it a text there;
    characters that a terminal would act on are shown as :func:`wfn.errors.printable` does.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(_cell, line) for line in lines)
    return text.getvalue()


def _cell(content: object) -> object:
    if not isinstance(content, str):
        return content
    content = printable(content)
    return f"'{content}" if content.lstrip().startswith(("=", "+", "-", "@")) and not _is_number(content) else content


def _is_number(text: str) -> bool:
    """Whether a text is a number, or one with its deviation, interval or count behind it."""
    try:
        float(text)
    except ValueError:
        return NUMBER.fullmatch(text) is not None
    return True


def csv_table(rows: Sequence[Mapping[str, object]], columns: Sequence[str] = (), missing: object = "") -> str:
    """Rows of named cells as CSV under a line of their names.

    Args:
        rows: name -> cell; a row need not have them all.
        columns: the names; by default all that there are, in the order in which they first come.
        missing: what stands for a cell that a row lacks.
    """
    columns = columns or list(dict.fromkeys(name for row in rows for name in row))
    return csv_lines([columns, *([row.get(name, missing) for name in columns] for row in rows)])
