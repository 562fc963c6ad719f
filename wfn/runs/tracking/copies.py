"""What of a record is in which tracking store: a file beside the record, so that nothing is brought in twice."""

import json
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from wfn.runs.record import Record
from wfn.runs.run_header import UnusableRecordError, reason_in
from wfn.system.files import write_atomically

COPIED = "copied.json"


class _Copy(BaseModel):
    """What of a record is in a store."""

    run: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    metrics: Annotated[int, Field(ge=0)] = 0
    ended: int | None = None


_COPIES = TypeAdapter(dict[str, _Copy])


def read_copy(record: Record, uri: str) -> dict[str, Any]:
    """What of the record is in the store at ``uri``: ``run``, number of ``metrics``, and when the run had ``ended``.

    Raises:
        UnusableRecordError: the file is damaged.
    """
    return _read(record).get(uri, {})


def remember_copy(record: Record, uri: str, done: dict[str, Any]) -> None:
    """Write it down, in a file of its own: a run that goes on writes its record while a sync copies it."""
    write_atomically(record.folder / COPIED, json.dumps(_read(record) | {uri: done}).encode())


def is_in_a_store(record: Record) -> bool:
    """Whether anything of the record is in any store."""
    return (record.folder / COPIED).exists()


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
