"""The record of a run: a folder with all that is known of it, whether or not a tracking store can be reached.

A tracking store is fed from this folder and from nothing else (:mod:`wfn.runs.tracking.mlflow_store`), while the run
goes on or later. Reading a record (:class:`Record`) never writes to it: the run may be going on in another process.

A record may be somebody else's, so what it holds is validated where it is read (:mod:`wfn.runs.run_header`).
"""

import json
import logging
import shlex
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from wfn.errors import UserError
from wfn.runs.run_header import ID, LATEST, RunHeader, damaged, logged_value
from wfn.system.files import append_durably, held, sync_folder, write_atomically

log = logging.getLogger(__name__)
Found = TypeVar("Found")

HEADER, METRICS, CHECKPOINT, FILES = "record.json", "metrics.jsonl", "checkpoint.safetensors", "files"
LOCK = "lock"  # held by the process that carries the run out
# In FILES: the fixed network, that entropy-coded, its values, and tables; evaluation.outcomes has a name of its own.
FIXED, COMPRESSED, CODEBOOK, ITERATIONS = "fixed.safetensors", "fixed.wfn", "codebook.csv", "iterations.csv"
RELIABILITY, CORRUPTIONS, SPREADS = "reliability.csv", "corruptions.csv", "spreads.csv"


class Record:
    """One run's folder, as it was when it was read.

    ``record.json`` holds the header; ``metrics.jsonl`` a line a value: key, value, step, timestamp (ms since 1970) and,
    where steps count epochs or iterations, ``per``; ``checkpoint.safetensors`` how far it is; ``files/`` all else.

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
            if _has_record(folder):
                return _entered(folder, cls.read)
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

    @property
    def sync_command(self) -> str:
        """What brings the run into the tracking store, for a shell."""
        return f"wfn sync {shlex.quote(str(self.folder.absolute()))}"

    def metrics_from(self, position: int) -> list[dict[str, Any]]:
        """The values logged by now, from that number on.

        A last line that is only half there, as it is being written or where the process died, is left out.

        Raises:
            UserError: a line is damaged.
        """
        content = _content(self.folder, METRICS)
        lines = content[: _end_of_last_line(content)].splitlines()
        return [logged_value(self.folder, number, lines[number], METRICS) for number in range(position, len(lines))]

    def last_values(self) -> dict[str, float]:
        """The last value of every metric: of its greatest step, and of those the one logged last."""
        return {line["key"]: line["value"] for line in sorted(self.metrics_from(0), key=lambda line: line["step"])}


class OpenRecord(Record):
    """A record that this process writes; it must be the only one that does (:mod:`wfn.runs.lifecycle`)."""

    def __init__(self, folder: Path, header: RunHeader) -> None:
        super().__init__(folder, header)
        self._listeners: list[Callable[[OpenRecord], object]] = []
        self._logged = {(line["key"], line["step"]): line["value"] for line in self.metrics_from(0)}

    @classmethod
    def create(
        cls, parent: Path, settings: Mapping[str, Any], run_id: str | None = None, started: int | None = None
    ) -> "OpenRecord":
        """Start a record in a folder of its own under ``parent``.

        Args:
            parent: the folder of all runs.
            settings: what the run is asked to do.
            run_id: its id; a new one by default.
            started: milliseconds since 1970; now by default.

        Raises:
            UserError: the folder cannot be written.
        """
        header = RunHeader(run_id or new_id(), dict(settings), started=now() if started is None else started)
        folder = parent / header.id
        try:
            (folder / FILES).mkdir(parents=True, exist_ok=True)
            sync_folder(parent)
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
        content = _content(folder, METRICS)
        if content and not content.endswith(b"\n"):
            write_atomically(folder / METRICS, content[: _end_of_last_line(content)])
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

    def log(self, metrics: Mapping[str, float | None], step: int, per: str = "", anew: bool = False) -> None:
        """Add the values of one step; one that is there already (a resumed run repeats some) is left as it is.

        Args:
            metrics: name -> value; None is left out.
            step: on its curve.
            per: what steps count, ``epoch`` or ``iteration``; empty for values of the run as a whole.
            anew: whether one that differs gives way, but for times: last values are to be of one measurement.

        Raises:
            UserError: they cannot be written.
        """
        kept = {key for key in metrics if (key, step) in self._logged and (not anew or key.endswith("seconds"))}
        lines = [
            {"key": key, "value": float(value), "step": step, "timestamp": now()} | ({"per": per} if per else {})
            for key, value in metrics.items()
            if value is not None and key not in kept and self._logged.get((key, step)) != float(value)
        ]
        self._logged |= {(line["key"], step): line["value"] for line in lines}
        with self._writable():  # on the disk before the checkpoint that counts on it
            append_durably(self.folder / METRICS, "".join(json.dumps(line) + "\n" for line in lines))
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
                f"cannot write to {self.folder} ({error.strerror}): once that is mended, go on with --resume "
                f"{shlex.quote(str(self.folder))}"
            ) from error


class RunHeldError(UserError):
    """A run is going on in another process."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a run's folder against a second process that would go on with it at the same time.

    Raises:
        RunHeldError: one does already.
        FileNotFoundError: the folder is not there.
        UserError: nothing can be written there.
    """

    def refuse() -> None:
        raise RunHeldError(f"run {folder.name} is going on in another process: wait for it, or stop it")

    with ExitStack() as lock:
        try:
            lock.enter_context(held(folder / LOCK, refuse))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise UserError(
                f"cannot write to {folder} ({error.strerror}): once that is mended, begin or go on by the same command"
            ) from error
        yield


def read_each(folder: Path, read: Callable[[Path], Found]) -> tuple[list[Found], list[str]]:
    """What ``read`` makes of the run whose folder this is, or of each run whose folder lies in it, in order of names.

    Of several runs those that cannot be read are told of, and left out: the second list has their folders' names.

    Raises:
        UserError: there is none that can be read.
    """
    if _has_record(folder):
        return [_entered(folder, read)], []
    folders = [each for each in sorted(folder.iterdir()) if _has_record(each)] if folder.is_dir() else []
    if not folders:
        raise UserError(f"{folder} holds no record of a run: give a run's folder, or the folder that holds them")
    found, errors = [], {}
    for each in folders:
        try:
            found.append(_entered(each, read))
        except UserError as error:
            errors[each.name] = error
    if not found:
        raise next(iter(errors.values()))  # the first is as good as any, and says what to do
    for error in errors.values():
        log.warning("left out: %s", error)
    return found, [*errors]


def _has_record(folder: Path) -> bool:
    """Whether it is a run's folder, as far as one can see; one of a run's name that may not be entered is taken so."""
    try:
        return (folder / HEADER).is_file()
    except PermissionError:
        return ID.fullmatch(folder.name) is not None


def _entered(folder: Path, read: Callable[[Path], Found]) -> Found:
    try:
        return read(folder)
    except PermissionError as error:
        raise UserError(f"cannot read {error.filename} ({error.strerror}): ask its owner, or name another") from error


def new_id() -> str:
    """The id of a run that no tracking store gives one."""
    return uuid.uuid4().hex


def now() -> int:
    """Milliseconds since 1970; of a clock that is far out, the nearest that a record may hold."""
    return min(max(0, int(time.time() * 1000)), LATEST)


def _read_header(folder: Path) -> RunHeader:
    if leads_out(folder, folder / FILES):
        raise damaged(folder, f"{FILES} leads out of it")
    try:
        text = _content(folder, HEADER).decode()
    except UnicodeDecodeError as error:
        raise damaged(folder, f"{HEADER} cannot be read ({error})") from error
    return RunHeader.from_json(text, folder, HEADER)


def leads_out(folder: Path, path: Path) -> bool:
    """Whether ``path``, in ``folder``, is a link, or behind one, to somewhere else."""
    return not path.resolve().is_relative_to(folder.resolve())


def _content(folder: Path, name: str) -> bytes:
    """What a file of the record holds; nothing where there are no metrics yet."""
    path = folder / name
    if leads_out(folder, path):
        raise damaged(folder, f"{name} leads out of it")
    if name == METRICS and not path.exists():
        return b""
    if not path.is_file():  # of a pipe one would read for ever
        raise damaged(folder, f"{name} is no file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise damaged(folder, f"{name} cannot be read ({error})") from error


def _end_of_last_line(content: bytes) -> int:
    return content.rfind(b"\n") + 1
