"""Bringing a record into its tracking store while it grows, in a thread: the run never waits for the store."""

import logging
import threading
import time
from typing import Protocol

from wfn.errors import UserError
from wfn.runs.record import Record

log = logging.getLogger(__name__)
PAUSE = 5.0  # seconds between two copies while a run goes on: tracking may not slow the run down
LONGEST = 300.0  # seconds between two tries where the store is away; each is twice the one before
SILENCE = 60.0  # seconds without an answer after which the end of a run waits no longer
LOOK = 0.1  # seconds between two looks at the last copy, in which signals are heard


class CopyingStore(Protocol):
    """What a copier needs of a store.

    Attributes:
        answered_at: when it last answered, by ``time.monotonic``.
    """

    answered_at: float

    def copy(self, record: Record) -> object: ...


class Copier:
    """Copies a record now and then, and once more at its end.

    What the store refuses is told of once on the way, and once more at the end.
    """

    def __init__(self, store: CopyingStore, record: Record) -> None:
        self._store, self._record = store, record
        self._grown, self._ended = threading.Event(), threading.Event()
        self._problem = ""
        self._thread = threading.Thread(target=self._work, name="copier", daemon=True)
        self._thread.start()

    def grown(self, record: Record) -> None:
        """Hear that the record has grown; returns at once."""
        self._grown.set()

    def finish(self) -> str:
        """Have the record copied as it is now, its end with it; return why that could not be done, or nothing."""
        self._store.answered_at = time.monotonic()
        self._ended.set()
        self._grown.set()
        while self._thread.is_alive():
            if time.monotonic() > self._store.answered_at + SILENCE:
                return f"the tracking store has not answered for {SILENCE:.0f} seconds"
            self._thread.join(LOOK)
        return self._problem

    def _work(self) -> None:
        pause, has_complained = PAUSE, False
        while True:
            self._grown.wait()
            self._grown.clear()
            is_last = self._ended.is_set()
            self._problem = self._copy()
            if is_last:
                return
            if self._problem and not has_complained:
                log.warning("%s; the run goes on; bring it in later: %s", self._problem, self._record.sync_command)
                has_complained = True
            pause = min(2 * pause, LONGEST) if self._problem else PAUSE
            self._ended.wait(pause)

    def _copy(self) -> str:
        try:
            self._store.copy(self._record)
        except UserError as error:
            return str(error)
        except Exception as error:  # the run is worth more than its copy
            return f"the tracking store cannot be used ({type(error).__name__}: {error})"
        return ""
