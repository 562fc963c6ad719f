"""``python -m studies`` in a process of :mod:`tests.support.programs` whose workers start warm, too.

A launcher starts workers as Pythons of their own, which takes each of them seconds. Here it has a few spare ones,
forked before it has done anything (no lock, no connection, no thread), that wait to be given a worker's command line.
They are its children, in sessions of their own, as the others would be; once they are used up, workers start as ever.
That workers start as Pythons of their own, too, is shown by ``tests/docs/test_contributing.py``.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import IO

SPARES = 5
SHORT = 0.2  # seconds: what launchers, workers and those who share runs wait between two looks
Command = Callable[[], int]


def main(arguments: list[str]) -> None:
    """``python -m studies`` with these arguments, which draws no figures and waits for nothing longer than need be."""
    from studies.__main__ import main as studies
    from studies.workers import launch, sharing, worker
    from wfn.commands.options import end_process

    undrawn()
    launch.LOOK = worker.PAUSE = sharing.PAUSE = SHORT
    worker.HEARTBEAT = 5 * SHORT
    start_workers_warm()
    end_process(lambda: studies(arguments))


def undrawn() -> None:
    """Draw no figures in this process, which would take most of the time; their files are there."""
    from wfn.figures import style

    style.render_each = lambda draw, size, forms, title="": {form: b"no figure" for form in forms}


def start_workers_warm(become: Callable[[int, Command], Command] = lambda number, command: command) -> None:
    """Let this process, which is to be a launcher, start its workers warm; nothing may have been done in it before.

    Args:
        become: of a worker's number, from 1 on in the order of their starts, and its command: what it does in place of
            that. Called in the worker.
    """
    from studies.workers import launch

    start = Spares(become).start
    launch.subprocess = SimpleNamespace(
        Popen=start, TimeoutExpired=subprocess.TimeoutExpired, DEVNULL=subprocess.DEVNULL
    )


class Spares:
    """Processes that wait to become workers."""

    def __init__(self, become: Callable[[int, Command], Command]) -> None:
        self._waiting: list[tuple[int, int]] = []  # process, pipe to write to
        self._become, self._started = become, 0
        for _ in range(SPARES):
            reader, writer = os.pipe()
            if not (process := os.fork()):
                for _, other in [*self._waiting, (0, writer)]:
                    os.close(other)
                status = 1
                try:
                    status = self._wait(reader)
                except SystemExit as end:
                    status = end.code
                finally:
                    sys.stdout.flush()
                    os._exit(status)
            os.close(reader)
            self._waiting.append((process, writer))

    def start(self, command: list[str], *, env: Mapping[str, str], stdout: IO[bytes], **others: object):
        """As :class:`subprocess.Popen` is called by the launcher."""
        self._started += 1
        if not self._waiting:
            return subprocess.Popen(command, env=env, stdout=stdout, **others)
        process, writer = self._waiting.pop(0)
        work = {"arguments": command[3:], "environment": dict(env), "log": stdout.name, "number": self._started}
        with os.fdopen(writer, "w") as pipe:
            json.dump(work, pipe)
        return Child(process)

    def _wait(self, reader: int) -> int:
        with os.fdopen(reader) as pipe:
            text = pipe.read()
        if not text:  # the launcher has ended
            return 0
        work = json.loads(text)
        os.setsid()
        for stream, path, flags in ((0, os.devnull, os.O_RDONLY), (1, work["log"], os.O_WRONLY | os.O_APPEND)):
            os.dup2(os.open(path, flags), stream)
        os.dup2(1, 2)
        os.environ.clear()
        os.environ.update(work["environment"])
        from studies.workers import worker

        worker._LAUNCHER = os.getppid()
        sys.argv = ["worker", *work["arguments"][1:]]
        return self._become(work["number"], worker.main)()


class Child:
    """A child process, used as the launcher uses a :class:`subprocess.Popen`."""

    def __init__(self, process: int) -> None:
        self._process, self.returncode = process, None

    def poll(self) -> int | None:
        """How it ended, or None."""
        if self.returncode is None:
            process, status = os.waitpid(self._process, os.WNOHANG)
            if process:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; ``timeout`` is in seconds."""
        deadline = time.monotonic() + (timeout or 1e9)
        while self.poll() is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("worker", timeout)
            time.sleep(0.05)
        return self.returncode

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self._process, number)
