"""Studies that run for real, in processes: workers and launchers are killed, and the study ends as it should."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from studies.__main__ import main
from studies.trials.queue import Queue
from studies.trials.storage import url_of
from tests.support.places import ROOT
from tests.support.waiting import LIMIT, wait_for

TINY = "tests.support.tiny"
FINISHED_EPOCH = re.compile(r"^iteration 1/2 epoch 1/1:", re.MULTILINE)


@pytest.fixture
def environment(tmp_path):
    changed = {"PYTHONPATH": str(ROOT), "WFN_CACHE": str(tmp_path / "cache")}
    changed["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path / 'mlflow.db'}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    return kept | changed


@pytest.fixture
def start(tmp_path, environment):
    """A function that starts ``python -m studies`` in a folder of its own; what is left of it is killed at the end."""
    started = []

    def start(*arguments):
        command = [sys.executable, "-u", "-m", "studies", *arguments]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        started.append(process)
        return process

    yield start
    (tmp_path / "hold").unlink(missing_ok=True)
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def studies(start):
    """A function that runs ``python -m studies`` to its end: (exit status, standard output, standard error)."""

    def run(*arguments):
        process = start(*arguments)
        output, error = process.communicate(timeout=LIMIT)
        return process.returncode, output, error

    return run


def run_arguments(question="ablation", network="held_network", **options):
    options = {
        "model": f"{TINY}:{network}", "dataset": f"{TINY}:data", "shares": "0.5 1", "epochs": 1, "batch_size": 96,
        "validation_share": 0, "tracking": "folder", "device": "cpu", "workers": 1,
        "vary": "alpha=0,0.4 delta=0.0075 fix_batch_norm=True", "repeats": 1, **options,
    }  # fmt: skip
    return ["run", question, *(word for name, value in options.items() for word in (f"--{name}", str(value)))]


def queue_in(folder, label="ablation"):
    return Queue(url_of("", str(folder / "runs")), label)


def held_trial(folder):
    """(process of the worker, its run) once it is held up after its first epoch."""

    def found():
        if not (folder / "runs" / "studies.db").is_file() or not list(folder.glob("runs/*/checkpoint.safetensors")):
            return None
        queue = queue_in(folder)
        for trial in queue._study.get_trials(deepcopy=False):
            run = trial.user_attrs.get("run")
            if trial.state.name == "RUNNING" and run and (folder / "runs" / run / "checkpoint.safetensors").is_file():
                return int(trial.user_attrs["worker"].rpartition(":")[2]), run
        return None

    return wait_for(found)


def is_alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def assert_as_it_should_be(folder, held_run):
    """Each trial is complete and was run once, the one cut short from where it stood."""
    trials = queue_in(folder).trials()
    assert [trial.state for trial in trials] == ["COMPLETE"] * 2
    assert {trial.settings["alpha"] for trial in trials} == {0.0, 0.4}
    assert held_run in {trial.run for trial in trials}
    runs = [json.loads(path.read_text()) for path in folder.glob("runs/*/record.json")]
    assert Counter(run["status"] for run in runs) == {"FINISHED": 3}  # the study's own and two trials'
    logs = "".join(path.read_text() for path in folder.glob("runs/*/worker-*.log"))
    assert len(FINISHED_EPOCH.findall(logs)) == 2, logs


def test_a_killed_worker_is_replaced_and_its_trial_gone_on_with(start, tmp_path):
    (tmp_path / "hold").touch()
    launcher = start(*run_arguments())
    worker, run = held_trial(tmp_path)
    os.kill(worker, signal.SIGKILL)
    (tmp_path / "hold").unlink()
    output, error = launcher.communicate(timeout=LIMIT)
    assert launcher.returncode == 0, error
    assert "was killed (signal 9)" in output
    assert "2 of 2 done" in output
    assert_as_it_should_be(tmp_path, run)


def test_a_study_goes_on_after_everything_was_killed(start, studies, tmp_path):
    (tmp_path / "hold").touch()
    launcher = start(*run_arguments())
    worker, run = held_trial(tmp_path)
    for process in (launcher.pid, worker):
        os.kill(process, signal.SIGKILL)
    launcher.wait()
    wait_for(lambda: not is_alive(worker))
    (tmp_path / "hold").unlink()
    status, _, error = studies(*run_arguments())
    assert status == 0, error
    assert_as_it_should_be(tmp_path, run)
    status, output, _ = studies(*run_arguments())
    assert status == 0
    assert "nothing left to do" in output
    assert_as_it_should_be(tmp_path, run)


@pytest.mark.parametrize("by", ["Ctrl-C", "stop"])
def test_a_stopped_study_ends_cleanly_and_goes_on(start, studies, tmp_path, by):
    (tmp_path / "hold").touch()
    launcher = start(*run_arguments())
    worker, run = held_trial(tmp_path)
    if by == "Ctrl-C":
        launcher.send_signal(signal.SIGINT)
    else:
        assert main(["stop", "ablation", "--folder", str(tmp_path / "runs")]) == 0
    _, error = launcher.communicate(timeout=LIMIT)
    assert launcher.returncode == 130
    assert "go on by the same command" in error
    assert "Traceback" not in error
    assert not is_alive(worker)
    assert Counter(trial.state for trial in queue_in(tmp_path).trials()) == {"WAITING": 2}
    runs = [json.loads(path.read_text())["status"] for path in tmp_path.glob("runs/*/record.json")]
    assert runs == ["KILLED"] * 2  # the study's own and the trial's
    (tmp_path / "hold").unlink()
    assert studies(*run_arguments())[0] == 0
    assert_as_it_should_be(tmp_path, run)


@pytest.fixture
def studies_here(environment, call_here, monkeypatch):
    """As ``studies``, but in this process."""
    for name in ("MLFLOW_TRACKING_URI", "WFN_CACHE"):
        monkeypatch.setenv(name, environment[name])
    return partial(call_here, main)


def test_failing_trials_stop_no_other_and_all_is_tracked(studies, studies_here, tmp_path):
    arguments = run_arguments(
        "delta", "network", tracking="mlflow", workers=2, vary=f"delta=0.01,0.02 model={TINY}:network,{TINY}:broken"
    )
    status, output, error = studies(*arguments)
    assert status == 0, error
    assert "2 failed" in output.splitlines()[-1]
    status, output, _ = studies_here("status", "delta")
    assert output.count("RuntimeError: this network cannot be built") == 2
    assert status == 0

    status, output, error = studies_here("export", "delta")
    rows = list(csv.DictReader(output.splitlines()))
    assert sorted(row["state"] for row in rows) == ["COMPLETE"] * 2 + ["FAIL"] * 2
    assert len({row["run"] for row in rows}) == 4
    status, output, error = studies_here("plot", "delta")
    assert status == 0, error

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")

    def tracked():
        runs = client.search_runs([client.get_experiment_by_name("wfn").experiment_id])
        (study,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        return study, [run for run in runs if run is not study]

    study, trials = tracked()
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {study.info.run_id}
    assert {(run.info.run_id, run.data.tags["trial"]) for run in trials} == {(row["run"], row["trial"]) for row in rows}
    assert Counter(run.info.status for run in [study, *trials]) == {"FINISHED": 3, "FAILED": 2}
    assert {"delta.csv", "delta.png"} <= {file.path for file in client.list_artifacts(study.info.run_id)}

    status, _, error = studies_here(*arguments, "--epochs", "2")
    assert status == 2
    assert "has other settings (epochs is 2, was 1)" in error

    status, output, _ = studies_here(*arguments)
    assert "nothing left to do" in output
    assert "2 failed" in output
    assert output.endswith("; --retry_failed true runs what failed again\n")
    (tmp_path / "mended").touch()
    status, output, error = studies(*arguments, "--retry_failed", "true")
    assert status == 0, error
    assert "4 of 4 done, 0 running, 0 failed" in output.splitlines()[-1]
    again_study, again = tracked()
    assert again_study.info.run_id == study.info.run_id
    assert {run.info.run_id for run in again} == {run.info.run_id for run in trials}
    assert {run.info.status for run in [again_study, *again]} == {"FINISHED"}
