"""A run with a record and, where wanted, a tracking store: however it ends, both say how."""

import fcntl
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wfn.errors import UserError
from wfn.record import Record, now
from wfn.run import run
from wfn.settings import Settings
from wfn.tracking import Store


class Stopped(Exception):  # noqa: N818 - it is no error
    """Raise it in a run to end it on purpose: its status becomes KILLED, the reason a tag of it."""


def run_tracked(
    settings: Settings,
    say,
    work: Callable[[Settings, Record, Callable[[], None]], Any] = run,
    began: Callable[[Record], object] = lambda record: None,
) -> tuple[Record, Any]:
    """Run, or go on with, what ``settings`` says, and keep record and tracking store up to date.

    The status is FINISHED, FAILED (an error, which is a tag of the run) or KILLED (Ctrl-C, SIGTERM, or
    :class:`Stopped`). A store that is lost on the way does not stop the run: its record has everything.

    Args:
        settings: what to run.
        say: takes a line of text.
        work: does it; takes what :func:`wfn.run.run` takes.
        began: called with the run's record before ``work`` is.

    Returns:
        the run's record, and what ``work`` gave back.

    Raises:
        UserError: bad input, or the store cannot be reached at the start.
    """
    parent = Path(settings.folder).expanduser()
    old = Record.find(settings.resume, parent) if settings.resume else None
    if old:
        settings = settings.resumed(old.header["settings"])
        if old.header["status"] == "FINISHED":
            raise UserError(f"run {old.id} is finished: there is nothing to go on with")
    settings.make_method()
    store = Store(settings.experiment) if settings.tracking == "mlflow" else None
    if old:
        record = old
        record.set(status="RUNNING", ended=None)
        if store:
            store.reopen_run(record)
    else:
        run_id = store.open_run(settings.parent_run) if store else None
        record = Record.create(parent, asdict(settings), run_id)
    with _alone(record), terminable(), _concluded(record, store, say):
        say(f"run {record.id} in {record.folder}")
        began(record)
        return record, work(settings, record, _copier(record, store, say))


def _copier(record: Record, store: Store | None, say):
    """A function that brings the record's growth into the store now and then, and complains once where it cannot."""
    complained = False

    def copy() -> None:
        nonlocal complained
        if not store:
            return
        try:
            store.copy(record, now_and_then=True)
        except UserError as error:
            if not complained:
                say(f"warning: {error}; the run goes on, and 'python -m wfn sync {record.folder}' can follow later")
            complained = True

    return copy


@contextmanager
def _concluded(record: Record, store: Store | None, say) -> Iterator[None]:
    """Write down how the run ended, whatever happens."""
    status, tags = "FINISHED", {}
    try:
        yield
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    except Stopped as reason:
        status, tags = "KILLED", {"stopped": str(reason)}
        raise
    except BaseException as problem:
        status, tags = "FAILED", {"error": f"{type(problem).__name__}: {problem}"}
        raise
    finally:
        record.set(status=status, ended=now(), tags=tags)
        if store:
            try:
                store.copy(record)
            except UserError as problem:
                say(f"warning: {problem}; bring the run in later: python -m wfn sync {record.folder}")


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does, cleanly."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _alone(record: Record) -> Iterator[None]:
    """Hold the run's folder against a second process that would go on with it at the same time."""
    with (record.folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"run {record.id} is going on in another process: wait for it, or stop it") from error
        yield
