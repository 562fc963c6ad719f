"""Files that are written whole or not at all, and locks between processes."""

import errno
import fcntl
import glob
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from wfn.errors import UserError

PARTIAL = ".partial"  # how the names of files end that are not yet written


def in_home(text: str, variable: str) -> Path:
    """The path ``text`` in the user's home folder, such as ``"~/.cache/wfn"``.

    Args:
        text: begins with a tilde.
        variable: of the environment, which can name another place.

    Raises:
        UserError: this user has no home folder.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UserError(f"{text} cannot be found ({error}): set HOME, or name a folder by {variable}") from error


def user_cache(name: str) -> Path:
    """Where what can be made anew is kept: the folder ``name`` in ``$WFN_CACHE``, or in ``~/.cache/wfn``.

    Raises:
        UserError: this user has no home folder.
    """
    return in_home(os.environ.get("WFN_CACHE") or "~/.cache/wfn", "WFN_CACHE") / name


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` so that ``path`` holds either all of it or what it held before, whenever the process dies.

    Once it returns, a power cut changes nothing any more. What an earlier process left half written beside it is swept.
    """
    with partial_of(path) as partial:
        partial.write_bytes(content)


@contextmanager
def partial_of(path: Path) -> Iterator[Path]:
    """A file beside ``path`` to write to, which takes its place at the body's end; after an error it is gone.

    It is locked while it is written: one that is not, a dead process has left, and whoever writes next sweeps it.

    Raises:
        OSError: it cannot be written, or not be brought to the disk.
    """
    if not path.name:  # "." or "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    for left in path.parent.glob(f".{glob.escape(path.name)}.*{PARTIAL}"):
        _sweep(left)
    partial, file = _locked_beside(path)
    try:
        with file:
            yield partial
            os.fsync(file.fileno())
            partial.replace(path)
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def is_partial(path: Path) -> bool:
    """Whether it is by its name a file that is being written, or that a process left half written."""
    return path.name.startswith(".") and path.name.endswith(PARTIAL)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of ``files``, path below it -> content; a folder that stands at ``path`` goes once it is written.

    A process that dies meanwhile leaves what was there before, or all of it, or, between two renamings, both beside
    ``path``.

    Raises:
        OSError: it cannot be written, or not be brought to the disk.
    """
    partial, before = (path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}{PARTIAL}") for _ in range(2))
    try:
        for name, content in files.items():
            file = partial / name
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, content)
        if path.exists():
            path.rename(before)
        partial.rename(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(before, ignore_errors=True)


def append_durably(path: Path, text: str) -> None:
    """Add ``text`` to the file ``path``, and return once no power cut takes it away any more.

    Raises:
        OSError: it cannot be written, or not be brought to the disk.
    """
    is_new = not path.exists()
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in ``folder`` to the disk, where its file system lets that be asked for."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _locked_beside(path: Path) -> tuple[Path, IO[bytes]]:
    """A new file beside ``path``, open and locked; anew where another process swept it before it was locked."""
    while True:
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}{PARTIAL}")
        file = partial.open("wb")
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return partial, file
        file.close()


def _sweep(partial: Path) -> None:
    """Remove what a dead process has left half written; one that is being written is left alone."""
    with suppress(OSError), partial.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        partial.unlink()


@contextmanager
def held(path: Path, busy: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold the lock file ``path`` against all other processes, once no other holds it.

    The lock is the operating system's: it is free once its holder is dead, and holds across machines where the file
    system's locks do.

    Args:
        path: the lock file; made where it is missing, and left there.
        busy: called where another process holds it, before waiting: to say so, or to raise in place of waiting.

    Raises:
        OSError: the file cannot be made.
    """
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy()
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # a process forked meanwhile has the file open, too
