"""A reproduction from end to end, in processes: killed, gone on with, and done; and what its report says."""

import json
import os
import signal
from collections import Counter
from contextlib import suppress

import pytest

from studies.__main__ import main
from studies.trials.queue import Queue
from studies.trials.storage import url_of
from tests.support.studies import REPRODUCED
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow  # minutes: 38 runs, and a report over them
LABEL = "{}_tests.support.tiny.network_tests.support.tiny.data"
ARGUMENTS = ["reproduce", *REPRODUCED, "--seeds", "0", "--batch_size", "96", "--workers", "1"]
NEEDED = {"ablation": 8, "tables": 22, "noise": 8}


def trials(folder, question):
    return Queue(url_of("", str(folder / "runs")), LABEL.format(question)).trials()


def a_trial_is_done(folder):
    """Whether the first study has begun, and a trial of it is done."""
    if not (folder / "runs" / "studies.db").is_file():
        return False
    with suppress(ValueError):  # the study is not there yet
        return any(trial.state == "COMPLETE" for trial in trials(folder, "ablation"))
    return False


def headers(folder):
    """What each run's record says, by the run's id."""
    found = [json.loads(path.read_text()) for path in folder.glob("runs/*/record.json")]
    return {header["id"]: header for header in found}


def test_a_reproduction_is_killed_gone_on_with_and_then_done(start_program, call_here, tmp_path, monkeypatch):
    monkeypatch.setenv("WFN_CACHE", str(tmp_path / "cache"))
    program = start_program("studies.__main__:main", ARGUMENTS, tmp_path)
    wait_for(lambda: a_trial_is_done(tmp_path))
    program.kill()
    queue = Queue(url_of("", str(tmp_path / "runs")), LABEL.format("ablation"))
    for trial in queue.study.get_trials(deepcopy=False):
        if trial.state.name == "RUNNING":
            with suppress(ProcessLookupError):  # a worker whose launcher is dead ends by itself, too
                os.kill(int(trial.user_attrs["worker"].rpartition(":")[2]), signal.SIGKILL)
    done = {trial.run for trial in queue.trials() if trial.state == "COMPLETE"}

    status, output, error = call_here(main, *ARGUMENTS)
    assert status == 0, error
    assert "38 runs are needed, " in output.splitlines()[1]
    known = headers(tmp_path)
    for question, count in NEEDED.items():
        found = trials(tmp_path, question)
        assert [trial.state for trial in found] == ["COMPLETE"] * count
        assert len({trial.run for trial in found}) == count
    runs = {trial.run for question in NEEDED for trial in trials(tmp_path, question)}
    assert done <= runs
    methods = Counter(known[run]["tags"].get("method") for run in runs)
    others = dict.fromkeys(("float", "rounding", "uniform", "ensemble"), 1)
    assert methods == others | {"wfn": 10, "kmeans": 5, "cof_pwfn": 6, "pwfn": 5, None: 8}
    assert {known[run]["status"] for run in runs} == {"FINISHED"}

    report = (tmp_path / "report" / "report.md").read_text()
    for row in ("WFN δ = 0.0075", "WFN δ = 0.015", "k-means, 32 values", "Nearest power of two", "Uniform grid"):
        assert row in report
    assert "Not drawn: no finished" not in report
    assert (tmp_path / "report" / "report.pdf").is_file()

    before = {path: path.read_bytes() for path in tmp_path.glob("runs/*/record.json")}
    status, output, error = call_here(main, *ARGUMENTS)
    assert status == 0, error
    assert output.splitlines()[0].endswith("38 runs are needed, 38 done, 0 to do now")
    assert {path: path.read_bytes() for path in tmp_path.glob("runs/*/record.json")} == before
