"""A disk that a power cut leaves with what was synced, and with nothing else."""

import os
import signal
from pathlib import Path


class Disk:
    """Notes what ``os.fsync`` brings to the disk, of the files and folders below ``top``.

    The strictest reading of POSIX: a file's content is that of its last sync, and a name in a folder, new, renamed or
    gone, counts from the folder's next sync on. What was there at the beginning is on the disk.
    """

    def __init__(self, top: Path) -> None:
        self._top, self._fsync = top, os.fsync
        self._contents: dict[int, bytes] = {}
        self._names: dict[int, dict[str, tuple[int, bool]]] = {}
        for folder, _, files in os.walk(top):
            self._note_folder(Path(folder))
            for name in files:
                self._note_file(Path(folder, name))
        os.fsync = self._note

    def leave(self, target: Path) -> None:
        """Write what is on the disk to ``target``, and end this process at once."""
        self._write(os.stat(self._top).st_ino, target)
        os.kill(os.getpid(), signal.SIGKILL)

    def _note(self, descriptor: int) -> None:
        self._fsync(descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        (self._note_folder if path.is_dir() else self._note_file)(path)

    def _note_folder(self, folder: Path) -> None:
        entries = {entry.name: (entry.inode(), entry.is_dir()) for entry in os.scandir(folder)}
        self._names[folder.stat().st_ino] = entries

    def _note_file(self, path: Path) -> None:
        self._contents[path.stat().st_ino] = path.read_bytes()

    def _write(self, folder: int, target: Path) -> None:
        target.mkdir(exist_ok=True)
        for name, (inode, is_folder) in self._names.get(folder, {}).items():
            if is_folder:
                self._write(inode, target / name)
            else:
                (target / name).write_bytes(self._contents.get(inode, b""))
