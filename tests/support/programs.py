"""Programs in processes of their own that start warm: forked from a server that has imported what takes seconds.

They are killed, interrupted and waited for as any other process. The server has no thread but an idle one of pyarrow's,
of which nothing here makes use, and has drawn no random numbers. Each program gets its own environment and folder after
the fork. What programs of one server share, and fresh Pythons do not, is the seed of hashes: for that there is
:func:`start_fresh`.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from unittest import mock

from tests.support.places import ROOT
from tests.support.waiting import LIMIT

PRELOADED = ["torch._dynamo", "matplotlib.pyplot", "optuna.storages._rdb.models", "sqlalchemy.dialects.sqlite",
             "alembic.command", "mlflow", "mlflow.store.tracking.sqlalchemy_store", "wfn.runs.lifecycle",
             "wfn.commands.summary", "wfn.methods.weight_fixing", "wfn.training.baseline", "studies.workers.launch",
             "studies.workers.worker", "wfn.runs.run", "tests.support.programs", "tests.support.warm"]  # fmt: skip
# One thread, as the tests have; and MLflow would start threads to tell its makers of its use, which no fork has.
SERVER = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
STARTED = "import sys; from tests.support.programs import called; sys.exit(called(sys.argv[1], sys.argv[2:]))"

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(PRELOADED)


class Program:
    """A function that runs in a process of its own; used as :class:`subprocess.Popen` is.

    Args:
        function: what to call, ``"package.module:function"``; it takes the arguments and returns the exit status.
        arguments: texts.
        folder: the current directory.
        environment: all variables.

    Attributes:
        pid: of the process.
        stdout: its standard output, a text file to read from.
    """

    def __init__(
        self, function: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str] = os.environ
    ) -> None:
        with mock.patch.dict(os.environ, SERVER):
            ensure_running()
        reader, writer = os.pipe()
        self._error = TemporaryFile("w+")  # noqa: SIM115 - communicate closes it
        streams = Connection(writer, readable=False), Connection(os.dup(self._error.fileno()))
        self._process = _context.Process(target=_run, args=(function, arguments, folder, dict(environment), *streams))
        self._process.start()
        for stream in streams:
            stream.close()
        self.pid = self._process.pid
        self.stdout = os.fdopen(reader)

    @property
    def returncode(self) -> int | None:
        """The exit status, or minus the signal that ended it; None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, and wait for the end."""
        self._process.kill()
        self._process.join()

    def communicate(self, limit: float = LIMIT) -> tuple[str, str]:
        """Wait for the end; return what is left of the standard output, and the standard error.

        It is killed after ``limit`` seconds, which are only to end a test that hangs.
        """
        deadline = Timer(limit, self._process.kill)
        deadline.start()
        with self.stdout, self._error:
            output = self.stdout.read()
            self._process.join()
            deadline.cancel()
            self._error.seek(0)
            return output, self._error.read()


def start_fresh(function: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]):
    """The same in a Python that starts anew, which takes seconds: a :class:`subprocess.Popen` of texts."""
    paths = {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", STARTED, function, *arguments], cwd=folder, env={**environment, **paths},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def called(function: str, arguments: Sequence[str]) -> int:
    """What ``"package.module:function"`` returns."""
    module, _, name = function.partition(":")
    return getattr(import_module(module), name)(list(arguments))


def _run(function, arguments, folder, environment, output, error):
    for number, stream in enumerate((output, error), start=1):
        os.dup2(stream.fileno(), number)
        stream.close()
    sys.stdout.reconfigure(line_buffering=True)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.exit(called(function, arguments))
