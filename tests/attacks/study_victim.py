"""A study whose launcher or workers are killed at their n-th action.

A launcher starts workers as Pythons of their own, which takes each of them seconds. Here it has a few spare ones,
forked before it has done anything (no lock, no connection, no thread), that wait to be given a worker's command line.
They are its children, in sessions of their own, as the others would be; once they are used up, workers start as ever.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import IO

from tests.attacks.victim import at_actions, undrawn

SPARES = 5
COUNTED = "actions-{}.txt"  # with the role of a process: how many actions it had; where it came to its end
BLOWS = "blows.txt"  # a line for each that fell
LAUNCHER, WORKER = "launcher", "worker"


def main(arguments: list[str]) -> int:
    """``python -m studies``, with what happens to it: JSON, a list of (role, action, what to do).

    The role is ``launcher``, or ``worker-N`` for the N-th that it starts. What is done is the name of a signal for the
    process itself, or ``all``, which kills the launcher and all of its workers.
    """
    events = json.loads(arguments[0])
    undrawn()
    from studies.workers import launch

    spares = Spares(events)
    launch.subprocess = SimpleNamespace(
        Popen=spares.start, TimeoutExpired=subprocess.TimeoutExpired, DEVNULL=subprocess.DEVNULL
    )
    from studies.__main__ import main as studies
    from wfn.commands.options import end_process

    end_process(counted(LAUNCHER, events, lambda: studies(arguments[1:])))


def counted(role: str, events: Sequence[tuple[str, int, str]], command: Callable[[], int]) -> Callable[[], int]:
    """``command`` of a process, to which what is meant for its role happens; its actions are counted."""
    actions = Path(COUNTED.format(role)).open("w")  # noqa: SIM115 - before actions are counted
    blows = os.open(BLOWS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    launcher = os.getpid() if role == LAUNCHER else os.getppid()

    def fall(what: str) -> None:
        os.write(blows, f"{role} {what}\n".encode())
        if what != "all":
            os.kill(os.getpid(), signal.Signals[what])
            return
        others = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
        for process in (launcher, *map(int, others), os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    count = at_actions([(number, lambda what=what: fall(what)) for whose, number, what in events if whose == role])

    def command_with_count() -> int:
        status = command()
        with actions:
            actions.write(str(count()))
        return status

    return command_with_count


class Spares:
    """Processes that wait to become workers."""

    def __init__(self, events: Sequence[tuple[str, int, str]]) -> None:
        self._waiting: list[tuple[int, int]] = []  # process, pipe to write to
        self._events, self._started = events, 0
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
        role = f"{WORKER}-{self._started}"
        work = {"arguments": command[3:], "environment": dict(env), "log": stdout.name, "role": role}
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
        return counted(work["role"], self._events, worker.main)()


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
