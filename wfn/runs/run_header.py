"""What a record's files may hold: one schema, by pydantic, which whoever reads a record goes through.

It bounds what is done later with what was read: ids become parts of paths and queries, names become columns, numbers go
into a database. What a run itself writes is always within it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from wfn.errors import UserError, printable

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]  # MLflow's names for them
STATUSES = get_args(Status)


def _is_id(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text):
        raise ValueError("letters, digits, points and dashes, as a run's id has them")
    return text


def _is_name(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a name without control characters")
    return text


def _is_plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError("a text, a number, true, false or null")


Name = Annotated[str, Field(min_length=1, max_length=250), AfterValidator(_is_name)]
Plain = Annotated[Any, AfterValidator(_is_plain)]
ID = re.compile("[0-9a-f]{32}")  # a run's, from here or from MLflow; nobody's own folder is called so
LATEST = 253_402_300_799_999  # milliseconds since 1970: the end of the year 9999
Milliseconds = Annotated[int, Field(ge=0, lt=LATEST + 1)]
Values = Mapping[Name, bool | int | float | None]
# Metrics by the names that older records have; this one was called as the setting is.
RENAMED = {
    "temperature": "calibration_temperature",
    "baseline_temperature": "baseline_calibration_temperature",
    "temperature_from_baseline": "calibration_temperature_from_baseline",
}


def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics by the names that they have now, whatever the version that wrote them."""
    return {RENAMED.get(name, name): value for name, value in values.items()}


@dataclass(frozen=True)
class RunHeader:
    """What a record says of its run, besides metrics and files.

    Attributes:
        id: the run's id; where it is tracked as it runs, that of its MLflow run.
        settings: what it was asked to do.
        params: settings, workload and provenance, as they were when it began.
        tags: what people tell runs apart by, and what may change when the run is resumed.
        iterations: number of an iteration, from 1 -> its row of measures.
        status: one of :data:`STATUSES`.
        started: milliseconds since 1970.
        ended: the same; None while the run goes on.
    """

    id: Annotated[str, Field(max_length=100), AfterValidator(_is_id)]
    settings: Mapping[Name, Plain]
    params: Mapping[Name, Plain] = field(default_factory=dict)
    tags: Mapping[Name, Plain] = field(default_factory=dict)
    iterations: Mapping[Annotated[int, Field(ge=0, lt=1 << 31)], Values] = field(default_factory=dict)
    status: Status = "RUNNING"
    started: Milliseconds = 0
    ended: Milliseconds | None = None

    @classmethod
    def from_json(cls, text: str, folder: Path, file: str) -> "RunHeader":
        """What :meth:`to_json` wrote into the ``file`` of the record in ``folder``.

        Raises:
            UnusableRecordError: a field is missing or holds something else.
        """
        try:
            header = _HEADERS.validate_json(text, strict=True)
        except ValidationError as error:
            raise damaged(folder, reason_in(error, file)) from error
        given = json.loads(text)
        if missing := [field.name for field in fields(header) if field.name not in given]:  # defaults are for new ones
            raise damaged(folder, f"{missing[0]} is missing in {file}")
        return replace(header, iterations={number: renamed(row) for number, row in header.iterations.items()})

    def to_json(self) -> str:
        """The header as text; a path that is not of Unicode has a ``?`` for what is not."""
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        return text.encode(errors="replace").decode()


_HEADERS = TypeAdapter(RunHeader)


class _LoggedValue(BaseModel):
    """A line of the metrics."""

    key: Name
    value: float
    step: Annotated[int, Field(ge=0, lt=1 << 53)]
    timestamp: Milliseconds
    per: Literal["", "epoch", "iteration"] = ""  # older records have none


class UnusableRecordError(UserError):
    """The record of a run cannot be used; who reads many runs leaves this one out, and says so."""


def reason_in(error: ValidationError, file: str) -> str:
    """What is wrong in ``file``, in one line: where, what was expected, and what is there."""
    first = error.errors(include_url=False)[0]
    where, expected = " ".join(map(str, first["loc"])), first["msg"]
    for beginning in ("Input should be ", "Value error, "):
        expected = expected.removeprefix(beginning)
    if first["type"] == "json_invalid":
        return f"{file} is not JSON ({expected})"
    if first["type"] == "missing":
        return printable(f"{where} is missing in {file}")
    return printable(f"{where or 'it'} in {file} must be {expected}, but is {first['input']!r:.60}")


def logged_value(folder: Path, number: int, line: bytes, file: str) -> dict[str, Any]:
    """The line of that number, from 0, in the ``file`` of metrics in ``folder``: key, value, step, timestamp, per.

    Raises:
        UnusableRecordError: it is none.
    """
    try:
        value = _LoggedValue.model_validate_json(line, strict=True).model_dump()
    except ValidationError as error:
        reason = f"line {number + 1} of {file} must be a key, a value, a step and a timestamp"
        raise damaged(folder, f"{reason} ({reason_in(error, 'it')})") from error
    return value | {"key": RENAMED.get(value["key"], value["key"])}


def damaged(folder: Path, reason: str) -> UnusableRecordError:
    """The error for a folder that holds something else than a run."""
    return UnusableRecordError(f"{folder} is not the folder of a run: {reason}; mend it, or leave the run out")
