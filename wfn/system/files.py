"""Files that are written whole or not at all, locks between processes, and tables as CSV."""

import csv
import fcntl
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` so that ``path`` holds either all of it or what it held before, whenever the process dies."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def held(path: Path, busy: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold the lock file ``path`` against all other processes, once no other holds it.

    The lock is the operating system's: it is free once its holder is dead, and holds across machines where the file
    system's locks do.

    Args:
        path: the lock file; made where it is missing, and left there.
        busy: called where another process holds it, before waiting: to say so, or to raise in place of waiting.

    Raises:
        OSError: the file cannot be made.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def csv_lines(lines: Iterable[Sequence[object]]) -> str:
    """Lines of cells as CSV; each ends in a newline alone, and None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def csv_table(rows: Sequence[Mapping[str, object]], columns: Sequence[str] = (), missing: object = "") -> str:
    """Rows of named cells as CSV under a line of their names.

    Args:
        rows: name -> cell; a row need not have them all.
        columns: the names; by default all that there are, in the order in which they first come.
        missing: what stands for a cell that a row lacks.
    """
    columns = columns or list(dict.fromkeys(name for row in rows for name in row))
    return csv_lines([columns, *([row.get(name, missing) for name in columns] for row in rows)])
