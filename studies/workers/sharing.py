"""Runs of trials that machines leave for each other: whoever takes a trial that was cut off elsewhere resumes it.

An artifact store of Optuna's keeps them, here a folder that all machines see. A run is one artifact: a tar of its
checkpoint, header and metrics. It counts once its name stands in the trial, and the one before goes then: whenever a
machine vanishes, the trial names a whole one. No name is used twice.
"""

import logging
import shutil
import tarfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, BinaryIO

from studies.trials.claim import TrialClaim
from studies.trials.storage import StorageLost
from wfn.errors import UserError
from wfn.runs.lifecycle import Stopped
from wfn.runs.record import CHECKPOINT, FILES, HEADER, METRICS
from wfn.system.files import partial_of, write_atomically

if TYPE_CHECKING:
    from optuna.artifacts import FileSystemArtifactStore

log = logging.getLogger("wfn.studies.sharing")
NAME = "shared.txt"  # in a run's folder: the artifact that this machine has uploaded, or gone on from, last
PAUSE = 5.0  # seconds between two uploads, at least: what a machine that vanishes may cost
SHARE = 0.05  # of the time that uploads may take, at most


class SharedRuns:
    """The runs in ``folder``, which all machines of a study see.

    Raises:
        UserError: it is no folder, and cannot be made one.
    """

    def __init__(self, folder: str) -> None:
        from optuna.artifacts import FileSystemArtifactStore

        path = Path(folder).expanduser()
        if "://" in folder:
            raise UserError(f"artifacts must be a folder that all machines see, but got {folder!r}")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"runs cannot be shared in {path} ({error.strerror}): name a folder that all machines see by artifacts"
            ) from error
        self._store = FileSystemArtifactStore(path)

    def fetch(self, claim: TrialClaim, folder: Path) -> None:
        """Bring ``folder``, the run's on this machine, to where another machine was with this trial.

        Where that cannot be read, what is here is left, if only to begin again.
        """
        from optuna.artifacts.exceptions import ArtifactNotFound

        if not claim.shared or _last_name(folder) == claim.shared:  # nobody else went on with it since
            return
        try:
            (folder / FILES).mkdir(parents=True, exist_ok=True)
            with self._store.open_reader(claim.shared) as content:
                _unpack(content, folder)
            write_atomically(folder / NAME, claim.shared.encode())
        except (OSError, KeyError, tarfile.TarError, ArtifactNotFound) as error:
            log.warning("trial %s: its run cannot be had from %s (%s)", claim.number, claim.shared, error)
        else:
            log.info("trial %s: its run comes from another machine", claim.number)

    @contextmanager
    def kept_up_to_date(self, claim: TrialClaim, folder: Path) -> Iterator[None]:
        """Upload the run in ``folder`` now and then, by a thread of its own; once more where the body is cut off."""
        upload = _Upload(self._store, claim, folder)
        with upload.now_and_then():
            yield

    def forget(self, claim: TrialClaim) -> None:
        """Remove what was uploaded of a trial, if that has its outcome; one that was given away still needs it."""
        if claim.shared and claim.has_outcome():
            _remove(self._store, claim.shared)


class _Upload:
    def __init__(self, store: "FileSystemArtifactStore", claim: TrialClaim, folder: Path) -> None:
        self._store, self._claim, self._folder = store, claim, folder
        self._state, self._has_complained = None, False

    @contextmanager
    def now_and_then(self) -> Iterator[None]:
        done = threading.Event()

        def keep_on() -> None:
            pause = PAUSE
            while not done.wait(pause):
                began = time.monotonic()
                if not self.once():
                    return
                pause = max(PAUSE, (time.monotonic() - began) / SHARE)

        def stop() -> None:
            done.set()
            thread.join()

        thread = threading.Thread(target=keep_on, daemon=True)
        thread.start()
        try:
            yield
        except Stopped:  # nobody is to go on with it
            raise
        except BaseException:
            stop()
            self.once()
            raise
        finally:
            stop()

    def once(self) -> bool:
        """Upload the run, if anything of it has changed; whether it is worth to go on with that."""
        state = _state(self._folder)
        if state == self._state:
            return True
        before, name = self._claim.shared, f"{self._claim.run}-{uuid.uuid4().hex[:8]}.tar"
        try:
            with TemporaryFile(dir=self._folder) as content:
                _pack(self._folder, content)
                content.seek(0)
                self._store.write(name, content)
            is_ours = self._claim.set_shared(name)
            if is_ours:
                write_atomically(self._folder / NAME, name.encode())
            _remove(self._store, before if is_ours else name)
        except StorageLost:
            return False  # the worker's signs of life tell of it
        except OSError as error:
            if not self._has_complained:
                log.warning("trial %s: its run cannot be shared (%s); it goes on", self._claim.number, error)
            self._has_complained = True
            _remove(self._store, name)
            return True
        self._state = state
        return is_ours


def _remove(store: "FileSystemArtifactStore", name: str) -> None:
    from optuna.artifacts.exceptions import ArtifactNotFound

    if name:
        with suppress(OSError, ArtifactNotFound):
            store.remove(name)


def _state(folder: Path) -> tuple[object, ...]:
    """What changes whenever checkpoint or metrics do."""
    found = (path.stat() if path.exists() else None for path in (folder / CHECKPOINT, folder / METRICS))
    return tuple(stat and (stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in found)


def _pack(folder: Path, content: BinaryIO) -> None:
    """Write the run as it stands, while it goes on: the checkpoint first, so that the record is never behind it."""
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name in (CHECKPOINT, HEADER, METRICS):
            with suppress(FileNotFoundError), (folder / name).open("rb") as file:
                tar.addfile(tar.gettarinfo(arcname=name, fileobj=file), file)


def _unpack(content: BinaryIO, folder: Path) -> None:
    """Write what was packed to its places; the checkpoint last, so that the record is never behind it."""
    with tarfile.open(fileobj=content, mode="r") as tar:
        for name in (METRICS, HEADER, CHECKPOINT):
            if name != HEADER and name not in tar.getnames():
                (folder / name).unlink(missing_ok=True)
                continue
            with partial_of(folder / name) as partial, tar.extractfile(name) as source, partial.open("wb") as target:
                shutil.copyfileobj(source, target)


def _last_name(folder: Path) -> str:
    path = folder / NAME
    return path.read_text(encoding="utf-8") if path.exists() else ""
