"""The record of a run: a folder with all that is known of it, whether or not a tracking store can be reached.

A tracking store is fed from this folder and from nothing else (:mod:`wfn.runs.mlflow_store`), while the run goes on or later.
"""

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wfn.errors import UserError
from wfn.system.files import write_atomically

FILES = "files"


class Record:
    """One run's folder.

    ``record.json`` holds id, settings, params, tags, status and times; ``metrics.jsonl`` a line for each value:
    key, value, step and timestamp (milliseconds since 1970); ``files/`` what else a run leaves;
    ``checkpoint.safetensors`` where it stands.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._header = self._read_header()
        self._mend()
        self._seen = {(line["key"], line["step"]) for line in self.metrics_from(0)}

    @classmethod
    def create(cls, parent: Path, settings: Mapping[str, Any], run_id: str | None = None) -> "Record":
        """Start a record in a folder of its own under ``parent``.

        Raises:
            UserError: the folder cannot be written.
        """
        run_id = run_id or uuid.uuid4().hex
        folder = parent / run_id
        header = {
            "id": run_id,
            "settings": dict(settings),
            "params": {},
            "tags": {},
            "iterations": {},
            "status": "RUNNING",
            "started": now(),
            "ended": None,
        }
        try:
            (folder / FILES).mkdir(parents=True, exist_ok=True)
            write_atomically(folder / "record.json", json.dumps(header).encode())
        except OSError as error:
            raise UserError(
                f"cannot keep the run in {folder} ({error.strerror}): name another place by folder"
            ) from error
        return cls(folder)

    @classmethod
    def find(cls, name: str, parent: Path) -> "Record":
        """The record called ``name``, a run's id under ``parent`` or the path of its folder.

        Raises:
            UserError: there is none.
        """
        for folder in (parent / name, Path(name).expanduser()):
            if (folder / "record.json").is_file():
                return cls(folder)
        raise UserError(f"there is no run {name!r} under {parent}, nor a folder of that name with a record.json in it")

    @property
    def id(self) -> str:
        """The run's id; where it is tracked as it runs, that of its MLflow run."""
        return self._header["id"]

    @property
    def header(self) -> dict[str, Any]:
        """All but the metrics and the files."""
        return self._header

    @property
    def checkpoint(self) -> Path:
        """Where the run's checkpoint lies, or will."""
        return self.folder / "checkpoint.safetensors"

    @property
    def files(self) -> Path:
        """The folder of the files that the run leaves."""
        return self.folder / FILES

    def set(self, **changes: Any) -> None:
        """Change ``status``, ``ended``, ...; ``params`` and ``tags`` (mappings) are added to what is there."""
        for name, value in changes.items():
            self._header[name] = self._header[name] | value if name in ("params", "tags") else value
        with self._writable():
            write_atomically(self.folder / "record.json", json.dumps(self._header, indent=1).encode())

    def log(self, metrics: Mapping[str, float | None], step: int) -> None:
        """Add the values of one step; one that is there already (a resumed run repeats some) is left as it is."""
        lines = [
            {"key": key, "value": float(value), "step": step, "timestamp": now()}
            for key, value in metrics.items()
            if value is not None and (key, step) not in self._seen
        ]
        self._seen |= {(line["key"], step) for line in lines}
        with self._writable(), (self.folder / "metrics.jsonl").open("a") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)

    def metrics_from(self, position: int) -> list[dict[str, Any]]:
        """The values logged, from that number on."""
        path = self.folder / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines[position:]]

    @contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"cannot write to {self.folder} ({error.strerror}): make room, then go on with --resume {self.id}"
            ) from error

    def _mend(self) -> None:
        """Cut off a last line of metrics that a crash left unfinished."""
        path = self.folder / "metrics.jsonl"
        if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
            write_atomically(path, content[: content.rfind(b"\n") + 1])

    def _read_header(self) -> dict[str, Any]:
        try:
            return json.loads((self.folder / "record.json").read_text())
        except (OSError, ValueError) as error:
            raise UserError(f"{self.folder} is not the folder of a run ({error})") from error


@dataclass(frozen=True)
class DistantRecord:
    """The record of a run that another process keeps (:mod:`wfn.system.ranks`): as it was, to be read alone."""

    id: str
    folder: Path
    header: Mapping[str, Any]

    checkpoint = Record.checkpoint
    files = Record.files

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
