"""Studies on several machines: the commands of docs/scaling.md, run as they stand there against real servers.

Two folders stand for two machines. What the shell makes of the page's study command is given to a process that need not
import everything anew.
"""

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections import Counter

import pytest

from studies.trials.queue import Queue
from tests.support.servers import STOP, commands
from tests.support.studies import all_trials
from tests.support.waiting import wait_for

pytestmark = pytest.mark.server
TROUBLE = re.compile(r"deadlock|locked|lock timeout|Traceback|OperationalError|IntegrityError|InternalError")
TINY = {
    "model": "tests.support.tiny:held_network", "dataset": "tests.support.tiny:data", "shares": "0.5 1", "epochs": 1,
    "batch_size": 96, "validation_share": 0, "device": "cpu", "repeats": 2,
    "vary": "alpha=0,0.4 delta=0.0075,0.01 fix_batch_norm=True",
}  # fmt: skip
TRIALS = (2 + 2 - 1) * 2  # of TINY: two columns that share a point, twice


@pytest.fixture
def start(servers, start_program, tmp_path):
    """A function that starts the page's study command on a machine; what is left of it is killed at the end."""

    def start(machine, **options):
        (tmp_path / machine).mkdir(exist_ok=True)
        words = [word for name, value in options.items() for word in (f"--{name}", f"'{value}'")]
        environment = servers.environment | {"WFN_CACHE": str(tmp_path / "cache")}
        (module, *arguments), variables = given_to_python(" ".join((commands("study").strip(), *words)), environment)
        assert module == "studies"
        return start_program("tests.support.warm_studies:main", arguments, tmp_path / machine, variables)

    return start


def given_to_python(script, environment):
    """What a shell's script gives to ``python -m``: (words, environment)."""
    told = """python() { [ "$1" = -m ] && shift && printf '%s\\0' "$#" "$@" && env -0; }\n"""
    done = subprocess.run(
        ["bash", "-ec", told + script], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    count, *words = done.stdout.rstrip("\0").split("\0")
    variables = dict(word.split("=", 1) for word in words[int(count) :])
    return words[: int(count)], variables


def records(tmp_path):
    """(run, its header) of all machines."""
    return {path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("*/runs/*/record.json")}


def finish(launchers):
    """Wait for the launchers; what they printed."""
    printed = []
    for launcher in launchers:
        output, error = launcher.communicate()
        assert launcher.returncode == 0, error
        assert not TROUBLE.search(output + error), output + error
        printed.append(output)
    return printed


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
    assert all(f"{TRIALS} of {TRIALS} done" in text for text in finish(launchers))

    queue = Queue(servers.url("studies"), "ablation")
    assert_each_trial_was_run_once(queue, tmp_path)
    assert len(all_trials(queue)) == TRIALS + 1  # the one whose worker was killed, put in again
    parents = {
        name: run["settings"]["parent_run"] for name, run in records(tmp_path).items() if "trial" not in run["tags"]
    }
    assert parents.pop(queue.get("run")) == ""
    assert list(parents.values()) == [queue.get("run")]  # the other machine's run
    assert "deadlock" not in (servers.keep / "postgresql.log").read_text()


@pytest.mark.slow  # half a minute; the tests of surviving show the same of a local store
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
