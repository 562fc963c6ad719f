"""Studies that run for real, in processes: workers and launchers are killed, and the study ends as it should."""

import csv
import json
import os
import re
import signal
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from studies.__main__ import main
from studies.trials.queue import Queue
from studies.trials.storage import url_of
from tests.support.studies import all_trials
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process
TINY = "tests.support.tiny"
FINISHED_EPOCH = re.compile(r"^iteration 1/2 epoch 1/1:", re.MULTILINE)


@pytest.fixture
def environment(own_store, tmp_path, monkeypatch):
    """Variables for this process and those that it starts: a cache and a tracking store of the test's own."""
    monkeypatch.setenv("WFN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def start(tmp_path, environment, start_program):
    """A function that starts ``python -m studies`` in a folder of its own, and does not wait for it."""
    yield lambda *arguments: start_program("tests.support.warm_studies:main", arguments, tmp_path)
    (tmp_path / "hold").unlink(missing_ok=True)


@pytest.fixture
def studies(environment, call_here):
    """A function that does what ``python -m studies`` does: (exit status, standard output, standard error)."""
    return partial(call_here, main)


@pytest.fixture
def run_study(start):
    """The same in a process that starts its workers warm."""

    def run(*arguments):
        program = start(*arguments)
        output, error = program.communicate()
        return program.returncode, output, error

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
        for trial in all_trials(queue):
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


@pytest.mark.slow  # test_two_machines shows it, too
def test_a_killed_worker_is_replaced_and_its_trial_gone_on_with(start, tmp_path):
    (tmp_path / "hold").touch()
    launcher = start(*run_arguments())
    worker, run = held_trial(tmp_path)
    os.kill(worker, signal.SIGKILL)
    (tmp_path / "hold").unlink()
    output, error = launcher.communicate()
    assert launcher.returncode == 0, error
    assert "was killed (signal 9)" in output
    assert "2 of 2 done" in output
    assert_as_it_should_be(tmp_path, run)


def test_a_study_goes_on_after_everything_was_killed(start, run_study, tmp_path):
    (tmp_path / "hold").touch()
    launcher = start(*run_arguments())
    worker, run = held_trial(tmp_path)
    launcher.kill()
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: not is_alive(worker))
    (tmp_path / "hold").unlink()
    status, _, error = run_study(*run_arguments())
    assert status == 0, error
    assert_as_it_should_be(tmp_path, run)
    status, output, _ = run_study(*run_arguments())
    assert status == 0
    assert "nothing left to do" in output
    assert_as_it_should_be(tmp_path, run)

    own = tmp_path / "runs" / queue_in(tmp_path).get("run")
    header = json.loads((own / "record.json").read_text())
    (own / "record.json").write_text(json.dumps(header | {"status": "RUNNING", "ended": None}))
    (own / "files" / "ablation.csv").unlink()  # as a launcher leaves it that is killed after the last trial
    assert run_study(*run_arguments())[0] == 0
    assert json.loads((own / "record.json").read_text())["status"] == "FINISHED"
    assert_as_it_should_be(tmp_path, run)


@pytest.mark.parametrize("by", ["Ctrl-C", pytest.param("stop", marks=pytest.mark.slow)])
def test_a_stopped_study_ends_cleanly_and_goes_on(start, run_study, tmp_path, by):
    (tmp_path / "hold").touch()
    launcher = start(*run_arguments())
    worker, run = held_trial(tmp_path)
    if by == "Ctrl-C":
        launcher.send_signal(signal.SIGINT)
    else:
        assert main(["stop", "ablation", "--folder", str(tmp_path / "runs")]) == 0
    _, error = launcher.communicate()
    assert launcher.returncode == 130
    assert "go on by the same command" in error
    assert "Traceback" not in error
    assert not is_alive(worker)
    assert Counter(trial.state for trial in queue_in(tmp_path).trials()) == {"WAITING": 2}
    runs = [json.loads(path.read_text())["status"] for path in tmp_path.glob("runs/*/record.json")]
    assert runs == ["KILLED"] * 2  # the study's own and the trial's
    (tmp_path / "hold").unlink()
    assert run_study(*run_arguments())[0] == 0
    assert_as_it_should_be(tmp_path, run)


def test_failing_trials_stop_no_other_and_all_is_tracked(studies, run_study, undrawn, own_store, tmp_path):
    arguments = run_arguments(
        "delta", "network", tracking="mlflow", workers=2, vary=f"delta=0.01,0.02 model={TINY}:network,{TINY}:broken"
    )
    status, output, error = run_study(*arguments)
    assert status == 0, error
    assert "2 failed" in output
    status, output, _ = studies("status", "delta")
    assert output.count("RuntimeError: this network cannot be built") == 2
    assert status == 0

    status, output, error = studies("export", "delta")
    rows = list(csv.DictReader(output.splitlines()))
    assert sorted(row["state"] for row in rows) == ["COMPLETE"] * 2 + ["FAIL"] * 2
    assert len({row["run"] for row in rows}) == 4
    status, output, error = studies("plot", "delta")
    assert status == 0, error

    from mlflow import MlflowClient

    client = MlflowClient(own_store)

    def tracked():
        runs = client.search_runs([client.get_experiment_by_name("wfn").experiment_id])
        (study,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        return study, [run for run in runs if run is not study]

    study, trials = tracked()
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {study.info.run_id}
    assert {(run.info.run_id, run.data.tags["trial"]) for run in trials} == {(row["run"], row["trial"]) for row in rows}
    assert Counter(run.info.status for run in [study, *trials]) == {"FINISHED": 3, "FAILED": 2}
    assert "**Study delta**" in study.data.tags["mlflow.note.content"]
    assert study.info.run_name == f"study delta {TINY}:network/{TINY}:data"
    assert {"final/best_top1", "final/best_lzw_bytes"} <= study.data.metrics.keys()
    assert {"delta.csv", "delta.png"} <= {file.path for file in client.list_artifacts(study.info.run_id)}

    status, _, error = run_study(*arguments, "--epochs", "2")
    assert status == 2
    assert "has other settings (epochs is 2, was 1)" in error

    status, output, _ = run_study(*arguments)
    assert "nothing left to do" in output
    assert "2 failed" in output
    assert output.endswith("; --retry_failed true runs what failed again\n")
    (tmp_path / "mended").touch()
    status, output, error = run_study(*arguments, "--retry_failed", "true")
    assert status == 0, error
    assert "4 of 4 done, 0 running, 0 failed" in output
    again_study, again = tracked()
    assert again_study.info.run_id == study.info.run_id
    assert {run.info.run_id for run in again} == {run.info.run_id for run in trials}
    assert {run.info.status for run in [again_study, *again]} == {"FINISHED"}
