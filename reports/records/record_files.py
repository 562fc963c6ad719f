"""A file of records: JSON lines, first what the file is, then a line for each run; gzip where its name ends in ``.gz``.

The first line has the format's name and version, how many runs follow, and the SHA-256 of all that comes after it. The
bytes are settled by the runs: the same ones give the same file, but for what gzip's version makes of them.
"""

import gzip
import hashlib
import io
import json
import logging
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from reports.evidence.readings import Run
from reports.evidence.soundness import UnreportableRunError
from reports.records.run_lines import run_from, run_line
from wfn.errors import UserError, printable, reason
from wfn.system.files import write_atomically

log = logging.getLogger("wfn.reports.records")

FORMAT, VERSION = "wfn records of runs", 1
ENDINGS = (".jsonl", ".jsonl.gz")
MOST_BYTES = 1 << 28  # of an unpacked file: some hundred thousand runs
GZIP = b"\x1f\x8b"  # how a file of it begins


def write_records(runs: Sequence[Run], path: Path) -> None:
    """Write a record of each run into the file ``path``.

    Raises:
        UserError: the file's name ends otherwise than one of records, or it cannot be written.
    """
    if not path.name.endswith(ENDINGS):
        raise UserError(f"a file of records ends in {' or '.join(ENDINGS)}, but got {path}: name it so")
    content = "".join(_text(run_line(run)) for run in runs).encode()
    about = {"format": FORMAT, "version": VERSION, "runs": len(runs), "sha256": hashlib.sha256(content).hexdigest()}
    whole = _text(about).encode() + content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, gzip.compress(whole, mtime=0) if path.suffix == ".gz" else whole)
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror or error}): name another file") from error


def read_records(path: Path) -> list[Run]:
    """The runs in a file of records, or in all of them in a folder, each once, in the order of the files' names.

    Raises:
        UserError: there is none; a file is of another format or version, damaged, or not as it was written; two records
            of one finished run disagree.
    """
    path = path.expanduser()
    files = (
        sorted(file for file in path.glob("*") if file.name.endswith(ENDINGS) and file.is_file())
        if path.is_dir()
        else [path]
    )
    if not files:
        raise UserError(f"{path} holds no file of records ({' or '.join(ENDINGS)}): write one by --write_records")
    found: dict[str, tuple[dict[str, Any], Path, Run]] = {}
    for file in files:
        for number, line in enumerate(_lines(file), 2):
            try:
                run = _run(line, file, number)
            except UnreportableRunError as error:
                log.warning("left out: %s", error)
                continue
            if run.id in found:
                first, where, _ = found[run.id]
                if {first["status"], line["status"]} == {"FINISHED"} and _text(first) != _text(line):
                    raise UserError(
                        f"two records of run {run.short_id} disagree in {_difference(first, line)}, in {where.name} "
                        f"and {file.name}: give the right one only"
                    )
                if first["status"] == "FINISHED":
                    continue
            found[run.id] = line, file, run
    return [run for _, _, run in found.values()]


def _lines(path: Path) -> list[dict[str, Any]]:
    """The records in a file, as they were written."""
    wrong = partial(_no_records, path)
    try:
        with path.open("rb") as packed:
            whole = packed.read(MOST_BYTES + 1)  # a device has no end
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): name a file of records, or a folder") from error
    if len(whole) > MOST_BYTES:
        raise wrong(f"it is more than {MOST_BYTES:,} bytes")
    try:
        whole = _unpacked(whole) if whole.startswith(GZIP) else whole
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise wrong(f"it cannot be unpacked ({error})") from error
    first, _, content = whole.partition(b"\n")
    about = _parsed(first)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise wrong(f"its first line must say the format {FORMAT!r}, but is {first[:40]!r}")
    if about.get("version") != VERSION:
        raise wrong(f"its format is version {about.get('version')}, and this program reads version {VERSION}")
    if hashlib.sha256(content).hexdigest() != about.get("sha256"):
        raise wrong(f"its content has another SHA-256 than its first line says ({about.get('sha256')}): it was changed")
    lines = [_parsed(line) for line in content.splitlines()]
    if len(lines) != about.get("runs") or not all(isinstance(line, dict) for line in lines):
        raise wrong(f"it must hold {about.get('runs')} records, a line each, but holds {len(lines)} lines")
    return lines


def _unpacked(packed: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        whole = file.read(MOST_BYTES + 1)
    if len(whole) > MOST_BYTES:
        raise ValueError(f"it is more than {MOST_BYTES:,} bytes")
    return whole


def _run(line: dict[str, Any], path: Path, number: int) -> Run:
    try:
        return run_from(line)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        if isinstance(error, UserError):
            raise
        why = f"line {number} is no record of a run ({type(error).__name__}: {reason(error)})"
        raise _no_records(path, why) from error


def _no_records(path: Path, why: str) -> UserError:
    return UserError(f"{path} is not a file of records: {printable(why)}; write it anew by --write_records")


def _difference(first: Mapping[str, Any], second: Mapping[str, Any], where: str = "") -> str:
    """Where two records differ first, and what each says."""
    for name in sorted(first.keys() | second.keys()):
        one, other = first.get(name), second.get(name)
        if _text(one) == _text(other):  # as texts, in which no number is unequal to itself
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            return _difference(one, other, f"{where}{name} ")
        return f"{where}{name} ({one!s:.40} and {other!s:.40})"
    return "nothing"


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _text(line: object) -> str:
    return json.dumps(line, sort_keys=True, separators=(",", ":")) + "\n"
