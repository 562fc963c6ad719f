"""What of a record is in which tracking store: a file beside the record, so that nothing is brought in twice."""

import json
import os
import shlex
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from wfn.runs.record import Record
from wfn.runs.run_header import UnusableRecordError, reason_in
from wfn.system.files import write_atomically

COPIED = "copied.json"
COPYING = "copying.lock"  # held by the process that brings the record in
TRAINING = "workflowType=machine_learning"  # without it a fresh browser shows no runs
LOCAL_SERVER = "http://127.0.0.1:5000"  # where 'mlflow ui' listens
DATABASES = ("sqlite:", "postgresql", "mysql", "mssql")


class _Copy(BaseModel):
    """What of a record is in a store."""

    run: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    experiment: Annotated[str, Field(max_length=100)] = ""
    metrics: Annotated[int, Field(ge=0)] = 0
    ended: int | None = None


_COPIES = TypeAdapter(dict[str, _Copy])


def read_copy(record: Record, uri: str) -> dict[str, Any]:
    """What of the record is in the store at ``uri``: ``run``, ``experiment``, how many ``metrics``, when it ``ended``.

    Raises:
        UnusableRecordError: the file is damaged.
    """
    return _read(record).get(uri, {})


def is_copied(record: Record, uri: str) -> bool:
    """Whether all of an ended record is in the store at ``uri``; raises as :func:`read_copy`."""
    return bool(record.header.ended) and read_copy(record, uri).get("ended") == record.header.ended


def remember_copy(record: Record, uri: str, done: dict[str, Any]) -> None:
    """Write it down, in a file of its own: a run that goes on writes its record while a sync copies it."""
    others = {other: copy for other, copy in _read(record).items() if other != uri}
    write_atomically(record.folder / COPIED, json.dumps(others | {uri: done}).encode())


def way_to(record: Record) -> str:
    """How to look at an ended run in the store that it was copied to last: an address, or a command and one.

    Returns:
        Nothing where no store has all of it.
    """
    uri, copy = next(reversed(_read(record).items()), ("", {}))
    if not uri or copy.get("ended") != record.header.ended:
        return ""
    experiment, run = copy.get("experiment", ""), copy.get("run", "")
    if uri.startswith(("http://", "https://")) and experiment:
        return f"{_without_user(uri)}/#/experiments/{experiment}/runs/{run}?{TRAINING}"
    if not uri.startswith(DATABASES):
        return f"run {run} in {uri}"
    place = f"experiments/{experiment}/runs?{TRAINING}" if experiment else ""
    return f"mlflow ui{_store_option(uri)}, then {LOCAL_SERVER}/#/{place}"


def _without_user(address: str) -> str:
    """The address of a server without the name and password that it may hold."""
    parts = urlsplit(address.rstrip("/"))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _store_option(uri: str) -> str:
    """What tells 'mlflow ui' of the store, where it does not find it by itself; no password is shown."""
    if uri == f"sqlite:///{Path.cwd() / 'mlflow.db'}":
        return ""
    is_known = uri == os.environ.get("MLFLOW_TRACKING_URI") or not uri.startswith("sqlite:")
    return ' --backend-store-uri "$MLFLOW_TRACKING_URI"' if is_known else f" --backend-store-uri {shlex.quote(uri)}"


def _read(record: Record) -> dict[str, dict[str, Any]]:
    """By the store's URI what of the record is there."""
    path = record.folder / COPIED
    try:
        text = path.read_bytes() if path.is_file() else b"{}"
        copies = _COPIES.validate_json(text, strict=True)
    except (OSError, ValidationError) as error:
        reason = reason_in(error, COPIED) if isinstance(error, ValidationError) else str(error)
        raise UnusableRecordError(
            f"{record.folder} does not tell what the store has of it ({reason}): remove {COPIED}, to have it look"
        ) from error
    return {uri: copy.model_dump(exclude_unset=True) for uri, copy in copies.items()}
