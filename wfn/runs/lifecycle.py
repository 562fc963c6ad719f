"""A run with a record and, where wanted, a tracking store: however it ends, both say how."""

import fcntl
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wfn.errors import UserError
from wfn.runs.record import DistantRecord, Record, now
from wfn.runs.run import run
from wfn.runs.settings import Settings
from wfn.system import ranks
from wfn.runs.mlflow_store import Store


log = logging.getLogger(__name__)


class Stopped(Exception):  # noqa: N818 - it is no error
    """Raise it in a run to end it on purpose: its status becomes KILLED, the reason a tag of it."""


def run_tracked(
    settings: Settings,
    work: Callable[[Settings, Record, Callable[[], None]], Any] = run,
    began: Callable[[Record], object] = lambda record: None,
) -> tuple[Record, Any]:
    """Run, or go on with, what ``settings`` says, and keep record and tracking store up to date.

    The status is FINISHED, FAILED (an error, which is a tag of the run) or KILLED (Ctrl-C, SIGTERM, or
    :class:`Stopped`). A store that is lost on the way does not stop the run: its record has everything.

    Of several ranks (:mod:`wfn.system.ranks`) the first alone keeps record and store; the others do their part of
    ``work`` on what it tells them.

    Args:
        settings: what to run.
        work: does it; takes what :func:`wfn.runs.run.run` takes.
        began: called with the run's record before ``work`` is.

    Returns:
        the run's record, and what ``work`` gave back.

    Raises:
        UserError: bad input, or the store cannot be reached at the start.
    """
    if ranks.this():
        with terminable():
            settings, record = ranks.from_first()
            return record, work(settings, record, lambda: None)
    parent = Path(settings.folder).expanduser()
    if settings.resume:
        record = Record.find(settings.resume, parent)
        settings = settings.resumed(record.header["settings"])
        settings.make_method()
        store = _store(settings)
    else:
        settings.make_method()
        _make_folder(parent)
        store = _store(settings)
        record = Record.create(parent, asdict(settings), store.open_run(settings.parent_run) if store else None)
    with _alone(record), terminable():
        if settings.resume:
            record = _reopened(record, store)
        with _concluded(record, store):
            log.info("run %s in %s", record.id, record.folder)
            began(record)
            ranks.from_first(lambda: (settings, DistantRecord(record.id, record.folder, record.header)))
            return record, work(settings, record, _copier(record, store))


def _store(settings: Settings) -> Store | None:
    return Store(settings.experiment) if settings.tracking == "mlflow" else None


def _make_folder(parent: Path) -> None:
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot keep the run in {parent} ({error.strerror}): name another place by folder") from error


def _reopened(record: Record, store: Store | None) -> Record:
    """The record as it is now that no other process can change it, ready to go on."""
    record = Record(record.folder)
    if record.header["status"] == "FINISHED":
        raise UserError(f"run {record.id} is finished: there is nothing to go on with")
    record.set(
        status="RUNNING", ended=None, tags=dict.fromkeys({"error", "stopped"} & record.header["tags"].keys(), "")
    )
    if store:
        store.reopen_run(record)
    return record


def _copier(record: Record, store: Store | None) -> Callable[[], None]:
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
                log.warning(
                    "%s; the run goes on, and 'python -m wfn sync %s' can follow later", error, record.folder
                )
            complained = True

    return copy


@contextmanager
def _concluded(record: Record, store: Store | None) -> Iterator[None]:
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
        try:
            record.set(status=status, ended=now(), tags=tags)
        except UserError as problem:  # the store may still be told how it ended
            log.warning(problem)
        if store:
            try:
                store.copy(record)
            except UserError as problem:
                log.warning("%s; bring the run in later: python -m wfn sync %s", problem, record.folder)


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does, cleanly; and Ctrl-C also where a shell started it with that ignored."""

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _alone(record: Record) -> Iterator[None]:
    """Hold the run's folder against a second process that would go on with it at the same time."""
    with (record.folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"run {record.id} is going on in another process: wait for it, or stop it") from error
        yield
