"""Studies on several machines: the commands of docs/scaling.md, run as they stand there against real servers.

Two folders stand for two machines. The servers are thrown away at the end.
"""

import itertools
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from studies.__main__ import main
from studies.trials import queue as queue_module
from studies.trials import storage
from studies.trials.plan import Plan
from studies.trials.queue import Queue
from tests.support.places import ROOT
from tests.support.waiting import LIMIT, wait_for
from wfn.runs.settings import Settings
from wfn.system.processes import this_process

psycopg = pytest.importorskip("psycopg", reason="needs psycopg: pip install 'psycopg[binary]'")

PAGE = (ROOT / "docs" / "scaling.md").read_text()
STOP = 'pg_ctl --pgdata "$KEEP/postgresql" --mode fast --wait stop'
TROUBLE = re.compile(r"deadlock|locked|lock timeout|Traceback|OperationalError|IntegrityError|InternalError")
TINY = {
    "model": "tests.support.tiny:held_network", "dataset": "tests.support.tiny:data", "shares": "0.5 1", "epochs": 1,
    "batch_size": 96, "validation_share": 0, "device": "cpu", "repeats": 2,
    "vary": "alpha=0,0.4 delta=0.0075,0.01 fix_batch_norm=True",
}  # fmt: skip
TRIALS = (2 + 2 - 1) * 2  # of TINY: two columns that share a point, twice


def commands(name):
    """The commands of that name on the page."""
    (found,) = re.findall(rf"^```sh {name}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return found


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Servers:
    """What the page needs: variables, a password, and a user whom PostgreSQL accepts."""

    def __init__(self, keep):
        self.keep = keep
        self.owner = self._owner()
        programs = ":".join(map(str, Path("/usr/lib/postgresql").glob("*/bin")))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "PG"))}
        self.environment = kept | {
            "SERVER": "127.0.0.1",
            "KEEP": str(keep),
            "PASSWORD_FILE": str(self._secret("password", "secret")),
            "PGPASSFILE": str(self._secret("pgpass", "*:*:*:wfn:secret\n")),
            "POSTGRESQL_PORT": str(free_port()),
            "MLFLOW_PORT": str(free_port()),
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"], programs)),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "MLFLOW_WORKERS": "1",  # what mlflow server starts besides takes long, and is not needed here
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        os.chown(keep, self.owner.pw_uid, self.owner.pw_gid)

    @staticmethod
    def _owner():
        for user in (os.getuid(), "postgres", "nobody"):
            try:
                found = pwd.getpwuid(user) if isinstance(user, int) else pwd.getpwnam(user)
            except KeyError:
                continue
            if found.pw_uid:
                return found
        pytest.skip("PostgreSQL refuses root, and there is no user postgres or nobody")

    def _secret(self, name, text):
        """A file that only its owner may read, as libpq wants it; the copy NAME.owner is PostgreSQL's user's."""
        for path in (self.keep / name, self.keep / f"{name}.owner"):
            path.write_text(text)
            path.chmod(0o600)
        os.chown(path, self.owner.pw_uid, self.owner.pw_gid)
        return self.keep / name

    def as_owner(self, script):
        """Run shell commands as the user whom PostgreSQL accepts."""
        environment = dict(self.environment)
        for name in ("PASSWORD_FILE", "PGPASSFILE"):
            environment[name] += ".owner"
        demote = {} if os.getuid() else {"user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []}
        done = subprocess.run(
            ["bash", "-ec", script], env=environment, cwd=self.keep, timeout=LIMIT, check=False, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **demote,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout

    def url(self, database):
        return f"postgresql://wfn@127.0.0.1:{self.environment['POSTGRESQL_PORT']}/{database}"


@pytest.fixture(scope="module")
def servers():
    """A PostgreSQL that runs."""
    keep = Path(tempfile.mkdtemp(prefix="wfn-", dir="/tmp"))  # its socket's path must be short
    try:
        found = Servers(keep)
        if not all(shutil.which(name, path=found.environment["PATH"]) for name in ("initdb", "pg_ctl", "createdb")):
            pytest.skip("needs PostgreSQL's programs: apt-get install postgresql")
        found.as_owner(commands("initdb") + 'echo "fsync = off" >> "$KEEP/postgresql/postgresql.conf"')
        try:
            found.as_owner(commands("postgresql"))
            found.as_owner(commands("createdb"))
            yield found
        finally:
            if (keep / "postgresql" / "postmaster.pid").exists():
                found.as_owner(STOP)
    finally:
        shutil.rmtree(keep, ignore_errors=True)


@pytest.fixture
def url(servers, request):
    """The URL of an empty database."""
    name = f"test_{abs(hash(request.node.name))}"
    with psycopg.connect(servers.url("studies"), passfile=servers.environment["PGPASSFILE"], autocommit=True) as maker:
        maker.execute(f"CREATE DATABASE {name}")
    return servers.url(name)


@pytest.fixture(autouse=True)
def password(servers, monkeypatch):
    monkeypatch.setenv("PGPASSFILE", servers.environment["PGPASSFILE"])


@pytest.fixture
def start(servers, tmp_path):
    """A function that starts the page's study command on a machine; what is left of it is killed at the end."""
    started = []

    def start(machine, **options):
        (tmp_path / machine).mkdir(exist_ok=True)
        words = [word for name, value in options.items() for word in (f"--{name}", f"'{value}'")]
        process = subprocess.Popen(
            ["bash", "-ec", " ".join((commands("study").strip().replace("\npython", "\nexec python -u"), *words))],
            cwd=tmp_path / machine, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=servers.environment | {"WFN_CACHE": str(tmp_path / "cache")},
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def plan_of(question="ablation", **choices):
    return Plan.make(question, asdict(Settings()), **choices)


def all_trials(queue):
    return queue._study.get_trials(deepcopy=False)


def records(tmp_path):
    """(run, its header) of all machines."""
    return {path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("*/runs/*/record.json")}


def finish(launchers):
    """Wait for the launchers; what they printed last."""
    last = []
    for launcher in launchers:
        output, error = launcher.communicate(timeout=LIMIT)
        assert launcher.returncode == 0, error
        assert not TROUBLE.search(output + error), output + error
        last.append(output.splitlines()[-1])
    return last


def assert_each_trial_was_run_once(queue, tmp_path):
    trials = queue.trials()
    assert Counter(trial.state for trial in trials) == {"COMPLETE": TRIALS}
    assert len({json.dumps(trial.settings) for trial in trials}) == TRIALS
    assert Counter(trial.state.name for trial in all_trials(queue))["COMPLETE"] == TRIALS
    runs = records(tmp_path)
    finished = {name for name, run in runs.items() if "trial" in run["tags"] and run["status"] == "FINISHED"}
    assert finished == {trial.run for trial in trials}
    assert all(runs[trial.run]["tags"]["trial"] == trial.number for trial in trials)
    logs = "".join(path.read_text() for path in tmp_path.glob("*/runs/*/worker-*.log"))
    assert not TROUBLE.search(logs), logs


def test_two_machines_a_killed_worker_and_a_restarted_server(servers, start, tmp_path):
    for machine in ("a", "b"):
        (tmp_path / machine).mkdir()
        (tmp_path / machine / "hold").touch()
    launchers = [start(machine, **TINY, tracking="folder") for machine in ("a", "b")]

    def held():
        """The trials that wait in their run for us, on either machine."""
        found = {path.parent.name for path in tmp_path.glob("*/runs/*/checkpoint.safetensors")}
        if len(found) < 3:
            return None
        queue = Queue(servers.url("studies"), "ablation")
        trials = [trial for trial in all_trials(queue) if trial.state.name == "RUNNING"]
        return [trial for trial in trials if trial.user_attrs.get("run") in found]

    victim = wait_for(held)[0]
    os.kill(int(victim.user_attrs["worker"].rpartition(":")[2]), signal.SIGKILL)
    servers.as_owner(STOP)
    servers.as_owner(commands("postgresql"))
    for machine in ("a", "b"):
        (tmp_path / machine / "hold").unlink()
    assert all(f"{TRIALS} of {TRIALS} done" in last for last in finish(launchers))

    queue = Queue(servers.url("studies"), "ablation")
    assert_each_trial_was_run_once(queue, tmp_path)
    assert len(all_trials(queue)) == TRIALS + 1  # the one whose worker was killed, put in again
    parents = {
        name: run["settings"]["parent_run"] for name, run in records(tmp_path).items() if "trial" not in run["tags"]
    }
    assert parents.pop(queue.get("run")) == ""
    assert list(parents.values()) == [queue.get("run")]  # the other machine's run
    assert "deadlock" not in (servers.keep / "postgresql.log").read_text()


def test_the_runs_of_two_machines_in_an_mlflow_server(servers, start, tmp_path):
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(
            ["bash", "-ec", commands("mlflow").replace("mlflow server", "exec mlflow server")],
            cwd=tmp_path, env=servers.environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        tracking = f"http://127.0.0.1:{servers.environment['MLFLOW_PORT']}"

        def answers():
            assert server.poll() is None, (tmp_path / "server.log").read_text()
            try:
                return urllib.request.urlopen(f"{tracking}/health", timeout=10).read()
            except OSError:
                return None

        wait_for(answers)
        options = TINY | {"model": "tests.support.tiny:network", "label": "tracked", "workers": 1}
        finish([start(machine, **options) for machine in ("a", "b")])

        from mlflow import MlflowClient

        queue = Queue(servers.url("studies"), "tracked")
        assert_each_trial_was_run_once(queue, tmp_path)
        client = MlflowClient(tracking)
        runs = client.search_runs([client.get_experiment_by_name("wfn").experiment_id])
        parents = {run.info.run_id: run.data.tags.get("mlflow.parentRunId") for run in runs}
        assert parents.pop(queue.get("run")) is None
        assert len(parents) == TRIALS + 1  # the second machine's own run
        assert set(parents.values()) == {queue.get("run")}
        assert {run.info.status for run in runs} == {"FINISHED"}
        tags = {run.info.run_id: run.data.tags.get("trial") for run in runs}
        assert all(tags[trial.run] == str(trial.number) for trial in queue.trials())
        assert "ablation.csv" not in {file.path for file in client.list_artifacts(queue.get("run"))}
        assert "tracked.csv" in {file.path for file in client.list_artifacts(queue.get("run"))}
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def at_once(function, arguments):
    """Call the function on all arguments, beginning at the same moment."""
    barrier = threading.Barrier(len(arguments))

    def begin(argument):
        barrier.wait()
        return function(argument)

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(begin, arguments))


def test_launchers_that_start_at_once_in_a_fresh_database(url):
    plan = plan_of(repeats=1)
    queues = at_once(lambda _: Queue.open_for(url, "ablation", plan), range(5))
    assert len(all_trials(queues[0])) == len(plan.points())


def test_every_trial_is_taken_once_and_taken_back_once(url):
    plan = plan_of(repeats=1)
    Queue.open_for(url, "ablation", plan)
    queues = [Queue(url, "ablation") for _ in range(4)]
    claims = list(itertools.chain(*at_once(lambda queue: list(iter(queue.take, None)), queues)))
    assert sorted(claim.number for claim in claims) == list(range(len(plan.points())))
    process = subprocess.Popen(["true"])
    process.wait()
    for claim in claims[:5]:
        claim._trial.set_user_attr("worker", f"{this_process().rpartition(':')[0]}:{process.pid}")
    at_once(Queue.take_back, queues)
    assert Counter(trial.state for trial in queues[0].trials()) == {"WAITING": 5, "RUNNING": len(claims) - 5}
    assert len(all_trials(queues[0])) == len(claims) + 5
    # One that is taken again is its new worker's, even before that has put its name to it.
    for claim in iter(queues[0].take, None):
        assert "worker" in claim._trial.user_attrs
    queues[1].take_back()
    assert len(all_trials(queues[0])) == len(claims) + 5


def test_silent_workers_of_other_machines_are_waited_for_after_a_restart(url, monkeypatch):
    queue = Queue.open_for(url, "ablation", plan_of(vary="alpha=0", repeats=1))
    claim = queue.take()
    claim._trial.set_user_attr("worker", "elsewhere:1")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '1 hour'")
    queue.take_back()  # the server has only just started: nobody could give a sign of life before
    assert claim.sign_of_life()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '1 hour'")
    monkeypatch.setattr(queue_module, "silence_means_death", lambda url: True)
    queue.take_back()
    assert not claim.sign_of_life()
    assert not claim.put_back()
    claim.fail("too late")
    assert "RUNNING" not in {trial.state for trial in queue.trials()}
    assert "FAIL" not in {trial.state for trial in queue.trials()}


def test_work_goes_on_when_the_server_comes_back(servers, url, monkeypatch):
    queue = Queue.open_for(url, "ablation", plan_of(repeats=1))
    claim = queue.take()
    servers.as_owner(STOP)
    monkeypatch.setattr(storage, "RETURN", -1)
    for operation in (claim.sign_of_life, claim.choose, queue.trials, queue.take, queue.take_back):
        with pytest.raises(storage.StorageLost, match=r"the storage was lost on the way \(.*\): see to it") as caught:
            operation()
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(storage, "RETURN", LIMIT)
    with ThreadPoolExecutor() as pool:
        chosen = pool.submit(claim.choose)
        taken = pool.submit(queue.take)
        servers.as_owner(commands("postgresql"))
        assert chosen.result()["alpha"] == 0.0
        assert taken.result().number != claim.number
    claim.finish({"top1": 90.0, "unique_params": 3, "entropy_bits": 1.0})
    assert Counter(trial.state for trial in queue.trials()) == {"COMPLETE": 1, "RUNNING": 1, "WAITING": 6}


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("postgresql://wfn:hush@127.0.0.1:1/studies", "Connection refused"),
        ("postgresql://wfn:hush@no.such.host.invalid/studies", "no.such.host.invalid"),
        ("postgresql://wfn:hush@127.0.0.1:{port}/studies", "password authentication failed"),
        ("postgresql://wfn@127.0.0.1:{port}/no_such_database", 'database "no_such_database" does not exist'),
        ("postgresql://wfn@127.0.0.1:{port}/others", "it holds something else: the table 'experiments'"),
        ("postgresql://wfn@127.0.0.1:port/studies", "cannot be used"),
        ("mysql://wfn@127.0.0.1/studies", "neither a file nor PostgreSQL"),
    ],
)
@pytest.mark.parametrize("command", ["run", "status"])
def test_a_server_that_cannot_be_used_is_told_in_one_line(servers, command, where, told, capsys, monkeypatch):
    with psycopg.connect(servers.url("postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'others'").fetchone():
            connection.execute("CREATE DATABASE others")
            with psycopg.connect(servers.url("others"), autocommit=True) as others:
                others.execute("CREATE TABLE experiments (id int)")
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it was tried again"))
    where = where.format(port=servers.environment["POSTGRESQL_PORT"])
    assert main([command, "ablation", "--storage", where]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "hush" not in error
    assert error.count("\n") == 1
