"""A run that this process carries out: begun or resumed, tracked where wanted, and however it ends, that is written."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch

from wfn.errors import RunInterrupted, UserError
from wfn.runs.record import FILES, HEADER, LOCK, OpenRecord, Record, alone, new_id, now
from wfn.runs.run_header import ID, RunHeader
from wfn.runs.settings import MOST_THREADS, Settings
from wfn.runs.tracking.copier import Copier
from wfn.runs.tracking.mlflow_store import Store
from wfn.system import ranks
from wfn.system.processes import interruptible, terminable, uninterrupted
from wfn.system.torch_context import number_of_threads

log = logging.getLogger(__name__)


class Stopped(Exception):  # noqa: N818 - it is no error
    """Raise it in a run to end it on purpose: its status becomes KILLED, the reason a tag of it."""


class RunHandle:
    """What work on a run needs: its settings and its record; record, tracking store and lock are kept by it.

    ``open``, ``create`` and ``resume`` are context managers. At their end the status of the run is FINISHED, FAILED (an
    error, which is a tag of the run) or KILLED (Ctrl-C, SIGTERM, SIGHUP, or :class:`Stopped`); an interrupt leaves them
    as :class:`~wfn.errors.RunInterrupted`. A store that is lost on the way does not stop the run, nor make it wait: its
    record has everything.

    Attributes:
        settings: what to run; of a resumed run what it began with.
        record: where everything is written. What listens to it hears of all that the work logs.
    """

    def __init__(self, settings: Settings, record: "OpenRecord | DistantRecord", store: Store | None = None) -> None:
        self.settings, self.record = settings, record
        self._store, self._copier = store, Copier(store, record) if store else None
        if self._copier:
            record.subscribe(self._copier.grown)

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
        make_folder(parent)
        _sweep_unborn(parent)
        store = _store(settings)
        if store:
            store.finish_left_runs(parent)
        with terminable(), uninterrupted():
            started = now()
            run_id = store.open_run(started, settings.flat()) if store else new_id()
            try:
                with _born_alone(parent / run_id):
                    record = OpenRecord.create(parent, settings.flat(), run_id, started)
                    with cls(settings, record, store)._concluded() as handle:
                        yield handle
            except UserError:
                if store and not (parent / run_id / HEADER).is_file():
                    store.give_up(run_id)
                raise

    @classmethod
    @contextmanager
    def resume(cls, settings: Settings, even_finished: bool = False) -> Iterator["RunHandle"]:
        """The run that ``settings.resume`` names, gone on with as it began.

        Raises:
            UserError: there is none; it began with other settings, is finished, or goes on in another process; the
                store cannot be reached. Of a finished run, what the store lacks is brought in before.
        """
        found = Record.find(settings.resume, Path(settings.folder).expanduser())
        settings.check_trust(found.folder, found.header.settings)
        settings = settings.resumed(found.header.settings, threads_at_first(found.header))
        settings.make_method()
        store = _store(settings)
        if store:
            store.finish_left_runs(found.folder.parent)
        with alone(found.folder), terminable(), uninterrupted():
            record = OpenRecord.open(found.folder)  # as it is now that no other process can change it
            if record.header.status == "FINISHED" and not even_finished:
                completed = store.copy(record) if store else False
                also = "; what the tracking store still lacked of it is there now" if completed else ""
                raise UserError(f"run {record.id} is finished: there is nothing to go on with{also}")
            if store:
                store.reopen_run(record)
            ended_by = {"error", "stopped"} & record.header.tags.keys()
            record.set(status="RUNNING", ended=None, tags=dict.fromkeys(ended_by, ""))
            with cls(settings, record, store)._concluded() as handle:
                yield handle

    @classmethod
    @contextmanager
    def _follow(cls) -> Iterator["RunHandle"]:
        with terminable():
            handle = cls(*ranks.from_first())
            with _threads(handle.settings, handle.record.header):
                yield handle

    def log(self, metrics: Mapping[str, float | None], step: int, per: str = "", anew: bool = False) -> None:
        """See :meth:`wfn.runs.record.OpenRecord.log`."""
        self.record.log(metrics, step, per, anew)

    def set(self, **changes: Any) -> None:
        """See :meth:`wfn.runs.record.OpenRecord.set`."""
        self.record.set(**changes)

    def finish(self, status: str, tags: Mapping[str, str]) -> None:
        """Write down how the run ended, and bring all of it into the store; say so where that cannot be done.

        Raises:
            UserError: a run that came to its end cannot be marked FINISHED.
        """
        unwritten = None
        try:
            self.record.set(status=status, ended=now(), tags=tags)
        except UserError as problem:  # the store may still be told how it ended
            unwritten = problem
        if self._copier and (problem := self._copier.finish()):
            log.warning("%s; bring the run in later: %s", problem, self.record.sync_command)
        if unwritten and status == "FINISHED":
            raise unwritten
        if unwritten:
            log.warning(unwritten)

    @contextmanager
    def _concluded(self) -> Iterator["RunHandle"]:
        """Only the body hears signals: whatever comes before and after, how the run ended is written down."""
        status, tags = "FINISHED", {}
        try:
            log.info("run %s in %s", self.record.id, self.record.folder)
            watching = self._store.system_metrics(self.record) if self._store else nullcontext()
            with _threads(self.settings, self.record.header), watching, interruptible():
                ranks.from_first(lambda: (self.settings, DistantRecord(self.record.folder, self.record.header)))
                yield self
        except KeyboardInterrupt as interrupt:
            status = "KILLED"
            raise RunInterrupted(self.record.id, self._folder_to_name()) from interrupt
        except Stopped as reason:
            status, tags = "KILLED", {"stopped": str(reason)}
            raise
        except BaseException as problem:
            status, tags = "FAILED", {"error": f"{type(problem).__name__}: {problem}"}
            raise
        finally:
            self.finish(status, tags)

    def _folder_to_name(self) -> str:
        """The folder that ``--resume`` has to be given; empty where it looks there by itself."""
        parent, given = self.record.folder.parent, self.settings.folder
        if Path(given).expanduser().resolve() != parent.resolve():  # resumed by its path
            given = str(parent)
        return "" if Path(Settings.folder).resolve() == parent.resolve() else given


class DistantRecord(Record):
    """The record of a run that another process keeps (:mod:`wfn.system.ranks`): as it was, to be read alone."""

    def subscribe(self, listener: Callable[[OpenRecord], object]) -> None:
        """Leave it to the process that keeps it."""

    def set(self, **changes: Any) -> None:
        """Leave it to the process that keeps it."""

    def log(self, metrics: Mapping[str, float | None], step: int, per: str = "", anew: bool = False) -> None:
        """Leave it to the process that keeps it."""

    def metrics_from(self, position: int) -> list[dict[str, Any]]:
        """None: they are with the process that keeps them."""
        return []


def _threads(settings: Settings, header: RunHeader) -> AbstractContextManager[None]:
    """Work with as many threads as the run is to have, a resumed one with those that it began with."""
    here, began = torch.get_num_threads(), threads_at_first(header)
    if began and not settings.threads and began != here:
        log.info(
            "the run began with %s threads, on which its bits depend: it goes on with as many, not %s", began, here
        )
    return number_of_threads(settings.threads or began or here)


def threads_at_first(header: RunHeader) -> int:
    """The number of threads on which a run began; 0 where its record does not tell."""
    then = str(header.params.get("threads", ""))
    return int(then) if then.isdecimal() and int(then) <= MOST_THREADS else 0


def _store(settings: Settings) -> Store | None:
    return Store(settings.experiment) if settings.tracking == "mlflow" else None


@contextmanager
def _born_alone(folder: Path) -> Iterator[None]:
    """Make a run's folder and hold it, also where another process takes it for one to be swept at that moment."""
    with ExitStack() as lock:
        while True:
            make_folder(folder)
            with suppress(FileNotFoundError):
                lock.enter_context(alone(folder))
                if (folder / LOCK).exists():
                    break
            lock.close()
        yield


def _sweep_unborn(parent: Path) -> None:
    """Remove folders of runs whose process died before there was a record."""
    for folder in parent.iterdir():
        if not ID.fullmatch(folder.name) or not folder.is_dir() or (folder / HEADER).exists():
            continue
        with suppress(UserError, OSError):
            names = {path.name for path in folder.iterdir() if not path.name.startswith(f".{HEADER}.")}
            if not names:
                folder.rmdir()
            elif LOCK in names and names <= {LOCK, FILES} and not [*folder.glob(f"{FILES}/*")]:
                with alone(folder):
                    if not (folder / HEADER).exists():
                        shutil.rmtree(folder)


def make_folder(parent: Path) -> None:
    """Make the folder of runs where there is none; raise :class:`UserError` where it cannot be made."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot keep the run in {parent} ({error.strerror}): name another place by folder") from error
    if not os.access(parent, os.R_OK | os.W_OK | os.X_OK):
        raise UserError(f"cannot keep the run in {parent} (no permission): name another place by folder")
