"""The record of a run: a folder with all that is known of it, whether or not a tracking store can be reached.

A tracking store is fed from this folder and from nothing else (:mod:`wfn.runs.mlflow_store`), while the run goes on or
later. Reading a record (:class:`Record`) never writes to it: the run may be going on in another process.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from wfn.errors import UserError
from wfn.system.files import write_atomically

HEADER, METRICS, CHECKPOINT, FILES = "record.json", "metrics.jsonl", "checkpoint.safetensors", "files"
STATUSES = ("RUNNING", "FINISHED", "FAILED", "KILLED")  # MLflow's names for them


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

    id: str
    settings: Mapping[str, Any]
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, Any] = field(default_factory=dict)
    iterations: Mapping[int, Mapping[str, float | None]] = field(default_factory=dict)
    status: str = "RUNNING"
    started: int = 0
    ended: int | None = None

    @classmethod
    def from_json(cls, text: str, folder: Path) -> "RunHeader":
        """What :meth:`to_json` wrote into the record in ``folder``.

        Raises:
            UserError: a field is missing or holds something else.
        """
        try:
            found = json.loads(text)
        except ValueError as error:
            raise _damaged(folder, f"{HEADER} is not JSON ({error})") from error
        if not isinstance(found, dict):
            raise _damaged(folder, f"{HEADER} must hold an object, but holds {found!r:.60}")
        for name, (is_sound, expected) in _FIELDS.items():
            if name not in found:
                raise _damaged(folder, f"{name} is missing in {HEADER}")
            if not is_sound(found[name]):
                raise _damaged(folder, f"{name} in {HEADER} must be {expected}, but is {found[name]!r:.60}")
        iterations = {int(number): row for number, row in found["iterations"].items()}
        return cls(**{name: found[name] for name in _FIELDS} | {"iterations": iterations})

    def to_json(self) -> str:
        """The header as text."""
        return json.dumps(asdict(self), indent=1)


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _is_time(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_rows(value: object) -> bool:
    return isinstance(value, dict) and all(n.isdecimal() and isinstance(row, dict) for n, row in value.items())


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "id": (lambda value: isinstance(value, str) and value != "", "the run's id"),
    "settings": (_is_mapping, "an object"),
    "params": (_is_mapping, "an object"),
    "tags": (_is_mapping, "an object"),
    "iterations": (_is_rows, "an object of rows by the iteration's number"),
    "status": (lambda value: value in STATUSES, f"one of {', '.join(STATUSES)}"),
    "started": (_is_time, "milliseconds since 1970"),
    "ended": (lambda value: value is None or _is_time(value), "milliseconds since 1970, or null"),
}


class Record:
    """One run's folder, as it was when it was read.

    ``record.json`` holds the header; ``metrics.jsonl`` a line for each value: key, value, step and timestamp
    (milliseconds since 1970); ``files/`` what else a run leaves; ``checkpoint.safetensors`` how far it is.

    Attributes:
        folder: where it lies.
        header: all but the metrics and the files.
    """

    def __init__(self, folder: Path, header: RunHeader) -> None:
        self.folder, self.header = folder, header

    @classmethod
    def read(cls, folder: Path) -> "Record":
        """Read the record in ``folder``. Nothing is changed there, and nothing in what was read changes later.

        Raises:
            UserError: it holds none, or a damaged one.
        """
        return Record(folder, _read_header(folder))

    @classmethod
    def find(cls, name: str, parent: Path) -> "Record":
        """Read the record called ``name``, a run's id under ``parent`` or the path of its folder.

        Raises:
            UserError: there is none.
        """
        for folder in (parent / name, Path(name).expanduser()):
            if (folder / HEADER).is_file():
                return cls.read(folder)
        raise UserError(f"there is no run {name!r} under {parent}, nor a folder of that name with a {HEADER} in it")

    @property
    def id(self) -> str:
        """The run's id."""
        return self.header.id

    @property
    def checkpoint(self) -> Path:
        """Where the run's checkpoint lies, or will."""
        return self.folder / CHECKPOINT

    @property
    def files(self) -> Path:
        """The folder of the files that the run leaves."""
        return self.folder / FILES

    def metrics_from(self, position: int) -> list[dict[str, Any]]:
        """The values logged by now, from that number on.

        A last line that is only half there is left out: it is being written at this moment, or was when the process
        died.

        Raises:
            UserError: a line is damaged.
        """
        path = self.folder / METRICS
        try:
            content = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise _damaged(self.folder, f"{METRICS} cannot be read ({error})") from error
        lines = content[: _end_of_last_line(content)].splitlines()
        return [_logged_value(self.folder, number, lines[number]) for number in range(position, len(lines))]

    def last_values(self) -> dict[str, float]:
        """The last value of every metric: of its greatest step, and of those the one logged last."""
        return {line["key"]: line["value"] for line in sorted(self.metrics_from(0), key=lambda line: line["step"])}


class OpenRecord(Record):
    """A record that this process writes; it must be the only one that does (:mod:`wfn.runs.lifecycle`)."""

    def __init__(self, folder: Path, header: RunHeader) -> None:
        super().__init__(folder, header)
        self._listeners: list[Callable[[OpenRecord], object]] = []
        self._seen = {(line["key"], line["step"]) for line in self.metrics_from(0)}

    @classmethod
    def create(cls, parent: Path, settings: Mapping[str, Any], run_id: str | None = None) -> "OpenRecord":
        """Start a record in a folder of its own under ``parent``.

        Raises:
            UserError: the folder cannot be written.
        """
        header = RunHeader(run_id or uuid.uuid4().hex, dict(settings), started=now())
        folder = parent / header.id
        try:
            (folder / FILES).mkdir(parents=True, exist_ok=True)
            write_atomically(folder / HEADER, header.to_json().encode())
        except OSError as error:
            raise UserError(
                f"cannot keep the run in {folder} ({error.strerror}): name another place by folder"
            ) from error
        return cls(folder, header)

    @classmethod
    def open(cls, folder: Path) -> "OpenRecord":
        """Open the record in ``folder`` to go on with it; a line that a crash left half written is cut off.

        Raises:
            UserError: there is none, or a damaged one.
        """
        header = _read_header(folder)
        path = folder / METRICS
        if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
            write_atomically(path, content[: _end_of_last_line(content)])
        return cls(folder, header)

    def subscribe(self, listener: "Callable[[OpenRecord], object]") -> None:
        """Have ``listener`` called with this record whenever it has grown; what it raises ends the run."""
        self._listeners.append(listener)

    def set(self, **changes: Any) -> None:
        """Change fields of the header; ``params`` and ``tags`` (mappings) are added to what is there.

        Raises:
            UserError: it cannot be written.
        """
        for name in {"params", "tags"} & changes.keys():
            changes[name] = {**getattr(self.header, name), **changes[name]}
        self.header = replace(self.header, **changes)
        with self._writable():
            write_atomically(self.folder / HEADER, self.header.to_json().encode())
        self._tell()

    def log(self, metrics: Mapping[str, float | None], step: int) -> None:
        """Add the values of one step; one that is there already (a resumed run repeats some) is left as it is.

        Raises:
            UserError: they cannot be written.
        """
        lines = [
            {"key": key, "value": float(value), "step": step, "timestamp": now()}
            for key, value in metrics.items()
            if value is not None and (key, step) not in self._seen
        ]
        self._seen |= {(line["key"], step) for line in lines}
        with self._writable(), (self.folder / METRICS).open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        self._tell()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener(self)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"cannot write to {self.folder} ({error.strerror}): make room, then go on with --resume {self.id}"
            ) from error


class DistantRecord(Record):
    """The record of a run that another process keeps (:mod:`wfn.system.ranks`): as it was, to be read alone."""

    def subscribe(self, listener: Callable[[OpenRecord], object]) -> None:
        """Leave it to the process that keeps it."""

    def set(self, **changes: Any) -> None:
        """Leave it to the process that keeps it."""

    def log(self, metrics: Mapping[str, float | None], step: int) -> None:
        """Leave it to the process that keeps it."""

    def metrics_from(self, position: int) -> list[dict[str, Any]]:
        """None: they are with the process that keeps them."""
        return []


def now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def _read_header(folder: Path) -> RunHeader:
    try:
        text = (folder / HEADER).read_text()
    except (OSError, ValueError) as error:
        raise _damaged(folder, f"{HEADER} cannot be read ({error})") from error
    return RunHeader.from_json(text, folder)


def _logged_value(folder: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
        if isinstance(value["key"], str) and _is_time(value["step"]) and _is_time(value["timestamp"]):
            return value | {"value": float(value["value"])}
        raise TypeError(f"got {value!r:.60}")
    except (ValueError, KeyError, TypeError) as error:
        reason = f"line {number + 1} of {METRICS} must be a key, a value, a step and a timestamp"
        raise _damaged(folder, f"{reason} ({type(error).__name__}: {error})") from error


def _end_of_last_line(content: bytes) -> int:
    return content.rfind(b"\n") + 1


def _damaged(folder: Path, reason: str) -> UserError:
    return UserError(f"{folder} is not the folder of a run: {reason}; mend it, or leave the run out")
