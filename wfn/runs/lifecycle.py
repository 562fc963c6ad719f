"""A run that this process carries out: begun or resumed, tracked where wanted, and however it ends, that is written."""

import logging
import signal
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from wfn.errors import UserError
from wfn.runs.mlflow_store import Store
from wfn.runs.record import DistantRecord, OpenRecord, Record, now
from wfn.runs.settings import Settings
from wfn.system import ranks
from wfn.system.files import held

log = logging.getLogger(__name__)


class Stopped(Exception):  # noqa: N818 - it is no error
    """Raise it in a run to end it on purpose: its status becomes KILLED, the reason a tag of it."""


class RunHandle:
    """What work on a run needs: its settings and its record; record, tracking store and lock are kept by it.

    ``open``, ``create`` and ``resume`` are context managers. At their end the status of the run is FINISHED, FAILED (an
    error, which is a tag of the run) or KILLED (Ctrl-C, SIGTERM, or :class:`Stopped`). A store that is lost on the way
    does not stop the run: its record has everything.

    Attributes:
        settings: what to run; of a resumed run what it began with.
        record: where everything is written. What listens to it hears of all that the work logs.
    """

    def __init__(self, settings: Settings, record: OpenRecord | DistantRecord, store: Store | None = None) -> None:
        self.settings, self.record = settings, record
        self._store, self._has_complained = store, False
        if store:
            record.subscribe(self._copy_now_and_then)

    @classmethod
    def open(cls, settings: Settings, even_finished: bool = False) -> AbstractContextManager["RunHandle"]:
        """The run that ``settings`` names by ``resume``, else a new one.

        Of several ranks (:mod:`wfn.system.ranks`) the first alone keeps record and store; the others get a handle that
        shows what it has told them, and writes nothing.

        Args:
            settings: what to run.
            even_finished: resume also a run that is finished, rather than refuse it.
        """
        if ranks.this():
            return cls._follow()
        return cls.resume(settings, even_finished) if settings.resume else cls.create(settings)

    @classmethod
    @contextmanager
    def create(cls, settings: Settings) -> Iterator["RunHandle"]:
        """A new run in a folder of its own.

        Raises:
            UserError: bad input, or the store cannot be reached.
        """
        settings.make_method()
        parent = Path(settings.folder).expanduser()
        _make_folder(parent)
        store = _store(settings)
        record = OpenRecord.create(parent, settings.flat(), store.open_run(settings.parent_run) if store else None)
        with _alone(record), terminable(), cls(settings, record, store)._concluded() as handle:
            yield handle

    @classmethod
    @contextmanager
    def resume(cls, settings: Settings, even_finished: bool = False) -> Iterator["RunHandle"]:
        """The run that ``settings.resume`` names, gone on with as it began.

        Raises:
            UserError: there is none; it began with other settings, is finished, or goes on in another process; the
                store cannot be reached.
        """
        found = Record.find(settings.resume, Path(settings.folder).expanduser())
        settings = settings.resumed(found.header.settings)
        settings.make_method()
        store = _store(settings)
        with _alone(found), terminable():
            record = OpenRecord.open(found.folder)  # as it is now that no other process can change it
            if record.header.status == "FINISHED" and not even_finished:
                raise UserError(f"run {record.id} is finished: there is nothing to go on with")
            ended_by = {"error", "stopped"} & record.header.tags.keys()
            record.set(status="RUNNING", ended=None, tags=dict.fromkeys(ended_by, ""))
            if store:
                store.reopen_run(record)
            with cls(settings, record, store)._concluded() as handle:
                yield handle

    @classmethod
    @contextmanager
    def _follow(cls) -> Iterator["RunHandle"]:
        with terminable():
            yield cls(*ranks.from_first())

    def log(self, metrics: Mapping[str, float | None], step: int) -> None:
        """See :meth:`wfn.runs.record.OpenRecord.log`."""
        self.record.log(metrics, step)

    def set(self, **changes: Any) -> None:
        """See :meth:`wfn.runs.record.OpenRecord.set`."""
        self.record.set(**changes)

    def finish(self, status: str, tags: Mapping[str, str]) -> None:
        """Write down how the run ended, and bring all of it into the store; say so where that cannot be done."""
        try:
            self.record.set(status=status, ended=now(), tags=tags)
        except UserError as problem:  # the store may still be told how it ended
            log.warning(problem)
        if self._store:
            try:
                self._store.copy(self.record)
            except UserError as problem:
                log.warning("%s; bring the run in later: python -m wfn sync %s", problem, self.record.folder)

    def _copy_now_and_then(self, record: OpenRecord) -> None:
        """Bring the record's growth into the store; complain once where that cannot be done."""
        if record.header.status != "RUNNING":
            return  # the end is told of by finish
        try:
            self._store.copy(record, now_and_then=True)
        except UserError as error:
            if not self._has_complained:
                hint = f"'python -m wfn sync {record.folder}' can follow later"
                log.warning("%s; the run goes on, and %s", error, hint)
            self._has_complained = True

    @contextmanager
    def _concluded(self) -> Iterator["RunHandle"]:
        status, tags = "FINISHED", {}
        try:
            log.info("run %s in %s", self.record.id, self.record.folder)
            ranks.from_first(lambda: (self.settings, DistantRecord(self.record.folder, self.record.header)))
            yield self
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
            self.finish(status, tags)


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


def _store(settings: Settings) -> Store | None:
    return Store(settings.experiment) if settings.tracking == "mlflow" else None


def _make_folder(parent: Path) -> None:
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot keep the run in {parent} ({error.strerror}): name another place by folder") from error


@contextmanager
def _alone(record: Record) -> Iterator[None]:
    """Hold the run's folder against a second process that would go on with it at the same time."""

    def refuse() -> None:
        raise UserError(f"run {record.id} is going on in another process: wait for it, or stop it")

    with held(record.folder / "lock", refuse):
        yield
