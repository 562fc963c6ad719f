"""What commands tell while they work: the log of everything under ``wfn``, as plain lines on standard output.

The library itself tells nothing: its loggers have no handler but this one, and only command lines set it up.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from wfn.errors import printable


@contextmanager
def shown() -> Iterator[None]:
    """Show messages as lines, above a progress bar where there is one; of several ranks only those of the first."""
    logger = logging.getLogger("wfn")
    handler, level = _Lines(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Lines(logging.Handler):
    def filter(self, record: logging.LogRecord) -> bool:
        from wfn.system import ranks

        return ranks.this() == 0

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        text = "\n".join(map(printable, self.format(record).split("\n")))
        with suppress(OSError), tqdm.external_write_mode():  # a terminal that is gone ends no run
            print(f"warning: {text}" if record.levelno == logging.WARNING else text, flush=True)
