"""What a run keeps of confidence, corrupted images and noise: three small tables beside its record."""

import csv
from collections.abc import Mapping
from pathlib import Path

from wfn.errors import UserError, reason
from wfn.runs.record import CORRUPTIONS, RELIABILITY, SPREADS

Rows = tuple[Mapping[str, float | str], ...]
# Name of the table -> its columns with text, and those with numbers.
COLUMNS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Path(RELIABILITY).stem: (("network",), ("bin", "images", "confidence", "right")),
    Path(CORRUPTIONS).stem: (("corruption", "network"), ("severity", "top1", "loss", "brier", "ece")),
    Path(SPREADS).stem: (("moment",), ("size", "weights", "lower", "median", "upper")),
}


def read_table(path: Path) -> Rows:
    """One of them, by its file's name; raises :class:`UserError` where it cannot be read."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return checked(list(csv.DictReader(file)), path.stem)
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"{path} is no table of a run ({reason(error)}): mend it, or leave the run out") from error


def checked(rows: object, name: str) -> Rows:
    """The rows of a table, as a record of many runs has them.

    Raises:
        KeyError, TypeError, ValueError: they are not.
    """
    texts, numbers = COLUMNS[name]
    return tuple(
        {column: str(row[column]) for column in texts} | {column: float(row[column]) for column in numbers}
        for row in rows  # ty: ignore[not-iterable]
    )
