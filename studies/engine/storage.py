"""Where a study's trials are kept, by default in one SQLite file that needs no server.

SQLite is chosen by what survives: its transactions outlive a killed worker and a power cut, while the last line of an
Optuna journal, torn by one, makes all of it unreadable. It also has heartbeats, which a journal lacks, and is the same
code as a PostgreSQL that several machines share.
"""

import warnings
from pathlib import Path
from typing import Any

from wfn.errors import UserError

HEARTBEAT = 10  # seconds between two signs of life of a worker
PATIENCE = 120  # seconds without one after which it is taken for dead
BUSY = 120  # seconds to wait for another process that writes to the file


def url_of(storage: str, folder: str) -> str:
    """The URL of what the user named: itself, or that of a file; by default ``studies.db`` in the runs' folder."""
    if "://" in storage:
        return storage
    path = Path(storage or Path(folder) / "studies.db").expanduser().absolute()
    return f"sqlite:///{path}"


def file_of(url: str) -> Path | None:
    """The file of an SQLite storage; None for a server."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def open_storage(url: str, take_up_again) -> Any:
    """Optuna's storage at ``url``; ``take_up_again(study, trial)`` is called for one whose worker fell silent.

    Raises:
        UserError: it cannot be reached, or is no storage.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file = file_of(url)
    try:
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = optuna.storages.RDBStorage(
                url,
                engine_kwargs={"connect_args": {"timeout": BUSY}} if file else {"pool_pre_ping": True},
                heartbeat_interval=HEARTBEAT,
                grace_period=PATIENCE,
                heartbeat_stale_trial_callback=take_up_again,
            )
    except (SQLAlchemyError, ImportError, OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise UserError(f"the storage {url} cannot be used ({reason}): name a file or a database") from error
    if file:
        _write_one_at_a_time(storage.engine)
    return optuna.storages.get_storage(storage)


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
