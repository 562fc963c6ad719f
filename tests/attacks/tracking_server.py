"""The tracking server goes away under a run or a study: the work does not wait for it, and the store has all after.

From a random request on, for a few or for all that follow, a proxy before the server refuses, hangs, answers nonsense
or loses what the server has done; or the server itself is frozen or killed, and comes back. What waits, waits a quarter
of its usual time here.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from urllib.request import urlopen

from tests.attacks import store, studies, study_victim
from tests.attacks.attack import Attack
from tests.attacks.faulty_proxy import KINDS, Fault, FaultyProxy
from tests.attacks.kills import Uncut, assert_ends, records, uncut
from tests.attacks.victim import RUN, SHARES, environment, undrawn
from tests.support.programs import Program
from tests.support.servers import free_port

HASTE = 4  # how much sooner than usual whatever waits for a server gives up
PAUSE = 0.2  # seconds between two copies of a run, which takes a second or two
LATER = 15.0  # seconds that a run may take longer, besides the wait at its end: other processes share the machine
MOST_WAIT = 60.0 / HASTE  # seconds, as it is promised
ALWAYS = 1 << 30  # requests
TO_THE_SERVER = ("frozen", "killed")
STUDIES = 0.2  # of the cases
SLOW_START = 120.0  # seconds for the server to come up


@dataclass
class Server:
    """``mlflow server`` on a local store in a folder, behind a proxy.

    Attributes:
        folder: where its database and artifacts lie.
        proxy: what a victim talks to.
        requests: how many an uncut run sends, by what sends them.
        seconds: that an uncut run takes.
        run, study: to which nothing happens.
    """

    folder: Path
    proxy: FaultyProxy
    run: Uncut
    study: studies.Uncut
    requests: dict[str, int]
    seconds: float = 0.0
    _process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        keep = [
            f"--backend-store-uri=sqlite:///{self.folder / store.NAME}",
            f"--artifacts-destination={self.artifacts}",
        ]
        place = ["--host=127.0.0.1", f"--port={self.proxy.upstream}", "--workers=1"]
        variables = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *keep, *place, "--allowed-hosts=*"], cwd=self.folder,
            env=environment(self.folder) | variables, start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=(self.folder / "server.log").open("ab"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        deadline = time.monotonic() + SLOW_START
        while True:
            try:
                urlopen(f"http://127.0.0.1:{self.proxy.upstream}/health", timeout=5).close()
                return
            except OSError:
                assert time.monotonic() < deadline, (self.folder / "server.log").read_text()[-1000:]
                time.sleep(0.2)

    @property
    def artifacts(self) -> Path:
        """Where it keeps files."""
        return self.folder / "artifacts"

    def send(self, number: int) -> None:
        """Send a signal to all of its processes."""
        os.killpg(self._process.pid, number)

    def stop(self) -> None:
        """Kill it, if it is there."""
        with suppress(ProcessLookupError):
            self.send(signal.SIGKILL)
        self._process.wait()

    def fall(self, fault: Fault) -> None:
        """Let this happen, once the request comes."""
        blow = {"frozen": lambda: self.send(signal.SIGSTOP), "killed": self.stop}.get(fault.kind, lambda: None)
        self.proxy.expect(fault, blow)

    def recover(self, fault: Fault) -> None:
        """Be well again."""
        fell = self.proxy.blows
        self.proxy.mend()
        if fell and fault.kind == "frozen":
            self.send(signal.SIGCONT)
        if fell and fault.kind == "killed":
            self.start()

    def variables(self, folder: Path) -> dict[str, str]:
        """The environment of a victim in ``folder``."""
        return environment(folder) | {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.proxy.port}"}


def main(arguments: list[str]) -> int:
    """A run whose waits are shorter."""
    _hurry()
    undrawn()
    from wfn.__main__ import main as wfn
    from wfn.commands.options import end_process

    end_process(lambda: wfn(arguments))


def study(arguments: list[str]) -> None:
    """A study whose waits are shorter, those of its workers, too."""
    _hurry()
    study_victim.main(arguments)


def _hurry() -> None:
    from wfn.runs.tracking import copier, mlflow_database

    copier.PAUSE, copier.SILENCE = PAUSE, copier.SILENCE / HASTE
    timeout = "MLFLOW_HTTP_REQUEST_TIMEOUT"
    mlflow_database.LIMITS[timeout] = str(int(mlflow_database.LIMITS[timeout]) // HASTE)
    mlflow_database.AT_START = str(int(mlflow_database.AT_START) // HASTE)


def ready(folder: Path) -> Server:
    """A server, a run and a study to which nothing happened."""
    places = {name: folder / name for name in ("run", "study", "server", "tracked")}
    for place in places.values():
        place.mkdir()
    whole = uncut(places["run"])
    store.made(places["server"])
    server = Server(places["server"], FaultyProxy(free_port()), whole, studies.Uncut(places["study"]), {})
    server.start()
    atexit.register(server.stop)
    for kind in ("run", "study"):
        server.fall(Fault(0, 0, ""))
        place = places["tracked"] / kind
        place.mkdir()
        began = time.monotonic()
        assert_ends(_started(kind, place, server))
        server.requests[kind] = server.proxy.requests
        if kind == "run":
            server.seconds = time.monotonic() - began
    return server


def _started(kind: str, folder: Path, server: Server) -> Program:
    variables, tracked = server.variables(folder), ["--tracking", "mlflow", "--experiment", folder.name]
    if kind == "run":
        there = records(folder)
        what = ["--resume", there[0].id] if there else [*RUN, *SHARES]
        return Program("tests.attacks.tracking_server:main", [*what, *tracked], folder, variables)
    command = [*(word for word in studies.COMMAND if word not in ("--tracking", "folder")), "--workers", "2"]
    return Program("tests.attacks.tracking_server:study", [json.dumps([]), *command, *tracked], folder, variables)


def away(random: Random, folder: Path, server: Server) -> int:
    kind = "study" if random.random() < STUDIES else "run"
    length = random.choice((1, 1, 2, 5, ALWAYS, ALWAYS))
    fault = Fault(random.randint(1, server.requests[kind]), length, random.choice((*KINDS, *TO_THE_SERVER)))
    try:
        blows = _under(fault, kind, folder, server)
        _bring_in(random, kind, folder, server)
        for record in records(folder):
            store.assert_has(server.folder, record, server.artifacts)
    except AssertionError as lost:
        raise AssertionError(f"a {kind}, {fault}: {lost}") from lost
    return blows


def _under(fault: Fault, kind: str, folder: Path, server: Server) -> int:
    """Run it while this happens, and look at what it came to; where it ended as it started, begin it again."""
    server.fall(fault)
    began = time.monotonic()
    try:
        output, error = (program := _started(kind, folder, server)).communicate()
    finally:
        seconds, blows = time.monotonic() - began, server.proxy.blows
        server.recover(fault)
    text = f"status {program.returncode} after {seconds:.0f} s: {(output + error)[-700:]}"
    assert "Traceback" not in output + error, text
    if program.returncode == 2 and all(record.header.status == "RUNNING" for record in records(folder)):
        assert "the tracking store" in error and len(error.splitlines()) < 5, text  # it was away at the start
        assert seconds < LATER, text
        assert_ends(program := _started(kind, folder, server))
    assert program.returncode == 0, text
    if kind == "run":
        assert seconds < server.seconds + MOST_WAIT + LATER, text
        server.run.assert_same(folder)
    else:
        studies.assert_as_uncut(studies.queue_in(folder), folder, server.study)
    return blows


def _bring_in(random: Random, kind: str, folder: Path, server: Server) -> None:
    """Bring the store up to date: by a sync, or by a next start."""
    if kind == "run" and random.random() < 0.5:
        _, error = (program := _started(kind, folder, server)).communicate()
        assert program.returncode == 2 and "is finished" in error, f"status {program.returncode}: {error[-300:]}"
        return
    arguments = ["sync", "runs", "--experiment", folder.name]
    assert_ends(Program("tests.attacks.tracking_server:main", arguments, folder, server.variables(folder)))


ATTACK = Attack(
    "tracking",
    "from a random request on, for some or for all that follow, the tracking server refuses, hangs, answers errors, "
    "nonsense or half of an answer, loses what it has done, is frozen or killed, under a run or a study: the same "
    "bits, no longer than the stated minute, and the store has all of it, once, after a sync or the next start",
    cases=200,
    short=0,
    case=away,
    prepare=ready,
)
