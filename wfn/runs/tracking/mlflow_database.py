"""The way to a tracking store, told of in seconds where there is none, and MLflow's local file made whole.

Several processes that make one SQLite file at once fail each other in MLflow, and a file that a kill left half made is
of no use to it ever after. So it is made under a lock, under another name, and gets its own when it is complete.
"""

import logging
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from wfn.errors import UserError, first_line, without_password
from wfn.system.files import held, partial_of
from wfn.system.processes import is_interrupted

log = logging.getLogger(__name__)
PATIENCE = 5  # seconds for a database to answer at the start of a run, whose user waits for it
LIMITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}  # of a request on the way
AT_START = "8"  # seconds for a request then
BROKEN, BUSY = 500, 429  # HTTP's: from where on it is the server's fault, and that it has too much to do
# What a database says where another process came first: to a file that it writes to, or, where MLflow looks for a data
# set and then adds it, between the two; SQLite's words, then PostgreSQL's.
OVERTAKEN = ("database is locked", "UNIQUE constraint failed: datasets.", 'unique constraint "dataset_pk"')
OVERTAKEN_FOR = 20.0  # seconds in which it is tried again
LOOKS = 5  # at a file that is not complete, a second each: another process may be making it


class StoreAwayError(UserError):
    """The tracking store cannot be used."""


@contextmanager
def reached(at_start: bool = False) -> Iterator[Any]:
    """MLflow's client for the store of ``MLFLOW_TRACKING_URI``, or for its local default.

    Args:
        at_start: of a run, whose user waits: a server that does not answer is told of in seconds.

    Raises:
        StoreAwayError: in the place of whatever MLflow raises inside where the store cannot be used.
    """
    with _told_in_one_line(), _patience(at_start):
        import mlflow

        yield _PatientClient(mlflow.MlflowClient())


@contextmanager
def opened() -> Iterator[Any]:
    """As :func:`reached` at the start of a run; MLflow's local file is there, and another database answers.

    Raises:
        StoreAwayError: it is not there, or is no store.
    """
    with _told_in_one_line(), _patience(at_start=True):
        import mlflow

        _see_to(mlflow.get_tracking_uri())  # before there is a client, which makes a file where none is
        yield _PatientClient(mlflow.MlflowClient())


class _PatientClient:
    """MLflow's client, which tries again what a database refuses because another process came first.

    SQLite waits for another writer, except where both have read before: then one of them is refused at once. So is one
    of two first runs on the same data, by any database. Each of the client's calls is a transaction, of which nothing
    is left then.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        given = getattr(self._client, name)
        return partial(_once_let, given) if callable(given) else given


def _once_let(call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    from mlflow.exceptions import MlflowException

    deadline = time.monotonic() + OVERTAKEN_FOR
    while True:
        try:
            return call(*arguments, **named)
        except MlflowException as error:
            if not any(words in str(error) for words in OVERTAKEN) or time.monotonic() > deadline:
                raise
            time.sleep(0.1 + os.getpid() % 10 / 20)  # others that were refused try again, too


def is_away(error: BaseException) -> bool:
    """Whether an error of a request says that the store may take it later, rather than never."""
    import requests
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        status = error.get_http_status_code()
    elif isinstance(error, requests.RequestException):
        status = BROKEN if error.response is None else error.response.status_code
    else:
        return False
    return status >= BROKEN or status == BUSY


@contextmanager
def _patience(at_start: bool) -> Iterator[None]:
    """Let a request wait no longer than it may at the start, unless the user has said how long."""
    name = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    before = os.environ.get(name)
    if not at_start or before != LIMITS[name]:
        yield
        return
    os.environ[name] = AT_START
    try:
        yield
    finally:
        os.environ[name] = before


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    # Trying again is for who copies, in its own time; MLflow's would take minutes of the run's.
    for name, value in LIMITS.items():
        os.environ.setdefault(name, value)
    with _some_home():
        import mlflow
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with _unlogged(), _without_strays(mlflow.get_tracking_uri()):
            yield
    except UnicodeError as error:  # a folder of an old disk, or of another locale
        raise StoreAwayError(
            f"MLflow cannot use a name that is not of Unicode ({first_line(error)}): work in another folder, or track "
            "to a folder with tracking=folder"
        ) from error
    except (MlflowException, requests.RequestException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        if is_interrupted():  # in the midst of a statement, which the database's own library complains of
            raise KeyboardInterrupt from error
        uri = mlflow.get_tracking_uri()
        store = without_password(uri)
        said = first_line(error).replace(uri.rstrip("/"), store.rstrip("/"))
        raise StoreAwayError(
            f"the tracking store {store} cannot be used ({said}): check MLFLOW_TRACKING_URI, or track to "
            "a folder with tracking=folder"
        ) from error


@contextmanager
def _unlogged() -> Iterator[None]:
    """Let MLflow not print the traceback of a database's error, which is told of in a line."""
    logger, drop = logging.getLogger("mlflow.store.db.utils"), lambda record: record.levelno < logging.ERROR
    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)


@contextmanager
def _without_strays(uri: str) -> Iterator[None]:
    """Remove empty folders that MLflow makes in the body: of a URL with ``%20`` in it, it takes that for a name."""
    folder = Path(uri.removeprefix("sqlite:///")).parent
    is_odd = uri.startswith("sqlite:///") and "%" in uri
    missing = [place for place in (folder, *folder.parents) if not place.exists()] if is_odd else []
    try:
        yield
    finally:
        for place in missing:  # one that is of use is not empty
            with suppress(OSError):
                place.rmdir()


@contextmanager
def _some_home() -> Iterator[None]:
    """MLflow asks for the user's home folder as it is imported, though nothing of a run's lies there."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = tempfile.gettempdir()
        try:
            yield
        finally:
            del os.environ["HOME"]
    else:
        yield


def artifacts_beside(uri: str) -> str | None:
    """Where an experiment of the local file ``uri`` is to keep its files; None where MLflow's own place is right.

    MLflow takes the folder's path for a URL, so that with ``%20`` in it, files would lie in another folder.
    """
    here = Path.cwd()
    return (here / "mlruns").as_uri() if _file(uri) and set("%?#") & set(str(here)) else None


def _see_to(uri: str) -> None:
    """Make the local file ``uri`` where it is missing; of another database, see that it answers."""
    if file := _file(uri):
        if not file.exists() or _is_half_made(file):
            _make(file)
        return
    from sqlalchemy import create_engine

    if uri.startswith(("postgresql", "mysql")):
        engine = create_engine(uri, connect_args={"connect_timeout": PATIENCE})
        with engine.connect():
            pass
        engine.dispose()


def _file(uri: str) -> Path | None:
    from sqlalchemy import make_url

    if not uri.startswith("sqlite"):
        return None
    database = make_url(uri).database
    return Path(database) if database and database != ":memory:" else None


def _make(file: Path) -> None:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy import URL

    file.parent.mkdir(parents=True, exist_ok=True)
    with held(file.with_name(f".{file.name}.lock")):
        if file.exists():
            if not _is_half_made(file):
                return  # another process has just made it
            log.warning("%s was left half made and empty: it is made anew", file)
        with partial_of(file) as unfinished:
            url = URL.create("sqlite", database=str(unfinished)).render_as_string(hide_password=False)
            with _without_strays(url):
                SqlAlchemyStore(url, "./mlruns").engine.dispose()


def _is_half_made(file: Path) -> bool:
    """Whether a process died in making it: tables are missing, and nothing is in those that are there."""
    for look in range(LOOKS):
        if look:
            time.sleep(1)
        if not file.stat().st_size:
            return True
        if not _is_incomplete(file):
            return False
    return True


def _is_incomplete(file: Path) -> bool:
    from mlflow.store.tracking.dbmodels.models import SqlRun

    with closing(sqlite3.connect(file, timeout=PATIENCE)) as database:
        there = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if there >= set(SqlRun.metadata.tables):
            return False
        # MLflow itself fills two with a row; all else is somebody's, who has a store of an older version.
        rows = {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in there}
    own = {"alembic_version": 1, "experiments": 1, "workspaces": 1}
    return all(number <= own.get(name, 0) for name, number in rows.items())
