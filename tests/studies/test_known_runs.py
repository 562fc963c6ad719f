"""Runs of the folder that were begun otherwise: which of them a reproduction takes, and which it does not."""

import itertools
import json
import os
from dataclasses import replace

import pytest

from studies.__main__ import main
from studies.reproduction.budgeting import FOUND, OPEN, within_budget
from studies.reproduction.driver import Reproduction
from studies.reproduction.needs import BESIDE_K_MEANS
from studies.trials.queue import Queue
from studies.trials.storage import url_of
from studies.workers import worker
from tests.support import made_up_runs
from tests.support.studies import REPRODUCED
from wfn.__main__ import main as wfn
from wfn.runs.record import OpenRecord, RunHeldError, alone
from wfn.runs.settings import Settings
from wfn.runs.workload import prepare

OPTIONS = {"epochs": 1, "shares": "0.5 1", "iterations": 2}
COMMON = {"model": "tests.support.tiny:network", "dataset": "tests.support.tiny:data", "device": "cpu",
          "validation_share": 0.0, "tracking": "folder"}  # fmt: skip
MEASURED = {"top1": 92.25, "entropy_bits": 4.5}
STARTED = itertools.count(1)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def reproduction(folder):
    """Of the two runs of plain k-means that a finding needs."""
    settings = COMMON | {"folder": str(folder)}
    return Reproduction.make(settings, OPTIONS, "0", saves=(), workers=1, needed_by=(BESIDE_K_MEANS,))


@pytest.fixture(scope="module")
def hashes():
    said = prepare(Settings.of(COMMON)).description()
    return {name: said[name] for name in ("data_sha256", "weights_sha256")}


def begun(folder, hashes, status="FINISHED", tags=None, iterations=0, metrics=MEASURED, paired=True, **changes):
    """The id of a run that was begun by hand, of k-means with 128 values but for ``changes``."""
    of_k_means = {"method": "kmeans", "clusters": 128, "epochs": 1, "iterations": 2}
    chosen = {"threads": 1} | ({} if changes.get("method") == "apot" else of_k_means) | changes
    settings = Settings.of(COMMON | chosen | {"folder": "elsewhere"}).flat()
    record = OpenRecord.create(folder, settings)
    record.log(metrics, step=2)
    if paired:
        made_up_runs.keep_outcomes(record, made_up_runs.outcomes_of(92.25))
    params = {**settings, "threads": settings["threads"] or 2, **hashes}
    tags = {"method": settings["method"], **(tags or {})}
    record.set(iterations={number + 1: {"top1": 90.0} for number in range(iterations)}, params=params, tags=tags)
    record.set(status=status, started=next(STARTED))
    return record.id


def states(reproduction):
    return {run.need.settings["clusters"]: (run.state, run.run) for run in reproduction.runs()}


NONE = {128: (OPEN, ""), 256: (OPEN, "")}


def test_a_finished_run_of_the_same_settings_is_found_whatever_it_ran_on(reproduction, folder, hashes):
    assert states(reproduction) == NONE
    run = begun(folder, hashes, threads=2, device="auto", workers=5, experiment="mine", precision="float32")
    assert states(reproduction) == NONE | {128: (FOUND, run)}
    costs = [replace(run, seconds=7200.0) for run in reproduction.runs()]
    assert within_budget(costs, 1, 1)[0] == []  # the one that is open does not fit, and that is no error


@pytest.mark.parametrize(
    "changes",
    [
        {"clusters": 64},
        {"epochs": 2},
        {"seed": 1},
        {"precision": "bfloat16"},
        {"batch_size": 64},
        {"corrupted": 10},
        {"tags": {"study": "a study as a whole"}},
        {"method": "cof_pwfn", "clusters": None},
        {"status": "KILLED", "tags": {"stopped": "pruned: hopeless"}},
        {"status": "KILLED", "threads": 2},
        {"status": "FAILED"},
        {"tags": {"study": "another", "question": "delta", "trial": "3"}},
        {"metrics": {"top1": 92.25}},
        {"paired": False},
    ],
)
def test_a_run_that_does_something_else_is_not(reproduction, folder, hashes, changes):
    begun(folder, hashes, **changes)
    assert states(reproduction) == NONE


@pytest.mark.parametrize("name", ["data_sha256", "weights_sha256"])
def test_nor_is_one_of_other_images_or_another_network(reproduction, folder, hashes, name):
    begun(folder, hashes | {name: "ab" * 32})
    assert states(reproduction) == NONE
    begun(folder, {key: value for key, value in hashes.items() if key != name})  # a run that never got so far
    assert states(reproduction) == NONE


def test_one_that_was_cut_off_is_gone_on_with_but_the_newest_finished_one_goes_before(reproduction, folder, hashes):
    begun(folder, hashes, status="KILLED", iterations=1)
    further = begun(folder, hashes, status="KILLED", iterations=2)
    assert states(reproduction) == NONE | {128: (OPEN, further)}
    begun(folder, hashes)
    whole = begun(folder, hashes, tags={"study": "tables_before", "question": "tables", "trial": "3"})
    assert states(reproduction) == NONE | {128: (FOUND, whole)}


def test_two_needs_never_share_a_run(reproduction, folder, hashes):
    """The same method twice, by options that come to the same."""
    run = begun(folder, hashes)
    twice = replace(reproduction, seeds=(0, 0))
    of_128 = [each.run for each in twice.runs() if each.need.settings["clusters"] == 128]
    assert of_128 == [run, ""]


def test_one_that_a_trial_of_these_studies_has_is_not_given_to_another(reproduction, folder, hashes):
    run = begun(folder, hashes)
    point = next(each.point for each in reproduction.runs() if each.run) | {"seed": 7}
    plan = reproduction.plan("tables", [point])
    Queue.open_for(reproduction.url, reproduction.label("tables"), plan, {0: run})
    assert [each.run for each in reproduction.runs()] == ["", "", ""]


def test_one_that_was_waited_for_and_is_finished_then_is_taken(reproduction, folder, hashes, monkeypatch):
    run = folder / begun(folder, hashes, status="RUNNING")
    point = next(each.point for each in reproduction.runs() if each.run)
    plan = reproduction.plan("tables", [point])
    Queue.open_for(reproduction.url, reproduction.label("tables"), plan, {0: run.name})

    def held(*others):
        OpenRecord.open(run).set(status="FINISHED")
        raise RunHeldError("it is going on in another process")

    monkeypatch.setattr(worker, "_run", held)
    monkeypatch.setattr(worker, "PAUSE", 0)
    monkeypatch.setattr(worker, "_LAUNCHER", os.getppid())
    worker.work(reproduction.url, reproduction.label("tables"), {"folder": str(folder), "tracking": "folder"})
    (trial,) = Queue(reproduction.url, reproduction.label("tables")).trials()
    assert (trial.state, trial.run, trial.metrics["top1"]) == ("COMPLETE", run.name, MEASURED["top1"])
    assert OpenRecord.open(run).header.tags["study"] == reproduction.label("tables")


def test_one_that_is_going_on_or_whose_folder_has_another_name_is_left_alone(reproduction, folder, hashes):
    going_on = folder / begun(folder, hashes, status="RUNNING")
    with alone(going_on):
        assert states(reproduction) == NONE
    assert states(reproduction) == NONE | {128: (OPEN, going_on.name)}
    going_on.rename(folder / "copied")
    assert states(reproduction) == NONE


def test_where_its_network_was_kept_does_not_matter_but_whether_it_was_trained_here_does(
    reproduction, folder, hashes, monkeypatch
):
    run = begun(folder, hashes)
    path = folder / run / "record.json"
    header = json.loads(path.read_text())
    header["settings"]["weights"] = "on_another_machine/network.pth"
    path.write_text(json.dumps(header))
    assert states(reproduction) == NONE | {128: (FOUND, run)}
    monkeypatch.setattr(Reproduction, "network_given", False)
    assert states(reproduction) == NONE


def test_the_save_of_a_run_goes_by_its_content(folder, hashes, tmp_path):
    saves = [tmp_path / name for name in ("before.pth", "now.pth")]
    for save in saves:
        save.write_bytes(b"a save")
    settings = COMMON | {"folder": str(folder)}
    asked = Reproduction.make(settings, {}, "0", saves=[(3, str(saves[1]))], workers=1, needed_by=("Figure 1",))
    sha = asked._settings(next(run for run in asked.runs() if run.need.settings.get("save"))).make_method().hashes()
    run = begun(folder, hashes | sha, method="apot", bits=3, save=str(saves[0]))
    assert [each.run for each in asked.runs() if each.state == FOUND] == [run]
    saves[1].write_bytes(b"another")
    assert [each.run for each in asked.runs() if each.state == FOUND] == []


def test_a_folder_whose_runs_cannot_be_read_has_none(reproduction, folder, hashes):
    run = folder / begun(folder, hashes)
    (run / "record.json").write_text("{")
    assert states(reproduction) == NONE


@pytest.mark.process
def test_from_end_to_end_one_is_taken_and_another_gone_on_with(call_here, tmp_path, monkeypatch):
    monkeypatch.setenv("WFN_CACHE", str(tmp_path / "cache"))
    by_hand = [word for name, value in COMMON.items() for word in (f"--{name}", str(value))]
    by_hand += ["--method", "kmeans", "--epochs", "1", "--iterations", "2", "--batch_size", "96", "--threads", "1"]
    for clusters in (128, 256):
        status, _, error = call_here(wfn, *by_hand, "--clusters", str(clusters))
        assert status == 0, error
    paths = [*tmp_path.glob("runs/*/record.json")]
    records = {json.loads(path.read_text())["settings"]["clusters"]: path for path in paths}
    cut, whole = (json.loads(records[clusters].read_text()) for clusters in (256, 128))
    records[256].write_text(json.dumps(cut | {"status": "KILLED"}))
    arguments = [*REPRODUCED, "--seeds", "0", "--batch_size", "96", "--workers", "1", "--needed_by", BESIDE_K_MEANS]
    status, output, error = call_here(main, "reproduce", *arguments)
    assert status == 0, error
    assert "2 runs are needed, 1 found finished, 1 to do now" in output
    assert f"  kmeans clusters=128, seed 0: {records[128].parent.name}" in output
    label = "tables_tests.support.tiny.network_tests.support.tiny.data"
    trials = Queue(url_of("", str(tmp_path / "runs")), label).trials()
    expected = {(clusters, "COMPLETE", path.parent.name) for clusters, path in records.items()}
    assert {(trial.settings["clusters"], trial.state, trial.run) for trial in trials} == expected
    tags = json.loads(records[128].read_text())["tags"]
    assert tags | whole["tags"] == tags and (tags["study"], tags["question"]) == (label, "tables")
    assert json.loads(records[256].read_text())["status"] == "FINISHED"
