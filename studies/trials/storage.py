"""Where a study's trials are kept: by default one SQLite file that needs no server, past one machine a PostgreSQL.

SQLite is chosen by what survives: its transactions outlive a killed worker and a power cut, while the last line of an
Optuna journal, torn by one, makes all of it unreadable. It also has heartbeats, which a journal lacks, and is the same
code as a PostgreSQL that several machines share.
"""

import logging
import re
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from wfn.errors import UserError, first_line, without_password
from wfn.system.files import held
from wfn.system.processes import is_interrupted

HEARTBEAT = 10  # seconds between two signs of life of a worker
PATIENCE = 120  # seconds without one after which it is taken for dead
BUSY = 120  # seconds to wait for another process that writes to the file
RETURN = 300  # seconds to wait for a server that was there and is gone: it may be restarting
DAMAGED = re.compile("malformed|not a database|no such (table|column)")  # SQLite's words for what no waiting mends
NO_ROW = "Record does not exist."  # Optuna's words
LOCK = 20_100_307  # names our lock among the advisory locks of a database; any number would do

# What a machine that vanished held must come free, and who waits for it must learn that it is gone. UTC, for Optuna
# compares heartbeats by a clock on the wall, and no hour of them may be missing.
_CONNECTION = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "tcp_user_timeout": 60_000,
    "options": f"-c timezone=UTC -c idle_in_transaction_session_timeout={RETURN}s",
}


_heard = SimpleNamespace(at=time.monotonic())  # when the storage last answered this process


class StorageLost(UserError):  # noqa: N818 - nothing wrong with the input: the server is away
    """The storage could be used before, but now it cannot.

    Attributes:
        may_return: whether it is worth to wait for it.
    """

    may_return = True


def url_of(storage: str, folder: str) -> str:
    """The URL of what the user named: itself, or that of a file; by default ``studies.db`` in the runs' folder."""
    if "://" in storage:
        return storage
    from sqlalchemy import URL

    path = Path(storage or Path(folder) / "studies.db").expanduser().absolute()
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def file_of(url: str) -> Path | None:
    """The file of an SQLite storage; None for a server."""
    from sqlalchemy import make_url

    return Path(make_url(url).database or "") if url.startswith("sqlite:///") else None


def open_storage(url: str) -> Any:
    """Optuna's storage at ``url``, its tables made where they are missing.

    Raises:
        UserError: it cannot be reached, or is no storage.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = file_of(url)
    try:
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
        elif not url.startswith(("postgresql://", "postgresql+")):
            raise ValueError("neither a file nor PostgreSQL")
        # Processes that make the same tables at once would fail each other.
        with _alone(url), _logging_left_alone(), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            _refuse_tables_of_others(url)
            storage = optuna.storages.RDBStorage(
                url,
                engine_kwargs={"connect_args": {"timeout": BUSY}}
                if file
                else {"connect_args": _CONNECTION, "pool_pre_ping": True},
                heartbeat_interval=HEARTBEAT,
                grace_period=PATIENCE,
            )
    except (SQLAlchemyError, ImportError, OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"the storage {without_password(url)} cannot be used ({first_line(error)}): name a file or a database"
        ) from error
    if file:
        _write_one_at_a_time(storage.engine)
    return optuna.storages.get_storage(storage)


@contextmanager
def _logging_left_alone() -> Iterator[None]:
    """Making its tables, Optuna sets all logging up anew, and ours off, where the root has no handler."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


@contextmanager
def alone(url: str) -> Iterator[None]:
    """Hold the storage against all other processes that would write to it by what they have just read there.

    Who dies lets go: the lock ends with the connection to PostgreSQL, or with the open file beside SQLite's.

    Raises:
        StorageLost: it cannot be reached.
    """
    with _told_in_one_line(), _alone(url):
        yield


def silence_means_death(url: str) -> bool:
    """Whether the storage has been there for long enough to have heard from everyone who lives."""
    from sqlalchemy import text

    if file_of(url):
        return True
    with _engine(url).connect() as connection:
        query = "SELECT now() - pg_postmaster_start_time() > make_interval(secs => :patience)"
        return connection.execute(text(query), {"patience": PATIENCE}).scalar_one()


def patiently(operation: Callable) -> Callable:
    """An operation that is begun anew while the storage is away, until it has been so for ``RETURN`` seconds.

    It must be one that can be cut off anywhere: that writes once, or writes what it finds missing. A process that is
    being interrupted does not wait.

    Raises:
        StorageLost: it did not come back.
    """

    @wraps(operation)
    def patient(*arguments: Any, **named: Any) -> Any:
        while True:
            try:
                with _told_in_one_line():
                    result = operation(*arguments, **named)
                _heard.at = time.monotonic()
                return result
            except StorageLost as error:
                if not error.may_return or time.monotonic() > _heard.at + RETURN or is_interrupted():
                    raise
                time.sleep(1)

    return patient


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    """Raise :class:`StorageLost` where the storage is lost, :class:`UserError` where rows of it are."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        lost = StorageLost(
            f"the storage was lost on the way ({first_line(cause or error)}): see to it, then go on by the same command"
        )
        lost.may_return = not DAMAGED.search(str(cause or error))
        raise lost from error
    except (KeyError, ValueError) as error:
        if error.args != (NO_ROW,):
            raise
        raise UserError("the storage has lost rows of the study: name another one, or begin the study anew") from error


@contextmanager
def _alone(url: str) -> Iterator[None]:
    from sqlalchemy import text

    if file := file_of(url):
        with held(file.with_name(f"{file.name}.lock")):
            yield
    else:
        with _engine(url).begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            yield


@cache
def _engine(url: str) -> Any:
    """Our own way into the database, beside Optuna's: whoever waits for the lock may not hold a transaction there."""
    from sqlalchemy import create_engine

    return create_engine(url, pool_pre_ping=True, connect_args={} if file_of(url) else _CONNECTION)


def _refuse_tables_of_others(url: str) -> None:
    """Raise :class:`ValueError` for a database that something else fills, such as MLflow's."""
    from sqlalchemy import inspect

    tables = inspect(_engine(url)).get_table_names()
    if tables and "studies" not in tables:
        raise ValueError(f"it holds something else: the table {tables[0]!r}")


def _write_one_at_a_time(engine) -> None:
    """Make each transaction take SQLite's lock at its begin.

    Otherwise two workers can both read that a trial waits and both take it: SQLite has no SELECT ... FOR UPDATE.
    """
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection, record):
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()
