"""Runs that machines leave for each other; two folders stand for two machines that share only storage and store."""

import logging
import os
import re
import signal

import pytest
from safetensors.torch import load_file

from studies.__main__ import main
from studies.trials.queue import Queue
from studies.workers import sharing
from studies.workers.sharing import SharedRuns
from tests.support.studies import all_trials, plan_of
from tests.support.waiting import wait_for
from wfn.runs.record import OpenRecord, Record
from wfn.runs.run import run_tracked
from wfn.runs.settings import Settings

EPOCH = re.compile(r"^iteration (./.) epoch ./.:", re.MULTILINE)


@pytest.fixture
def queue(url):
    return Queue.open_for(url, "delta", plan_of("delta", vary="delta=0.01", repeats=1))


@pytest.fixture
def store(tmp_path):
    return SharedRuns(str(tmp_path / "store"))


def begin(queue, parent):
    """A claim on the trial, and the record of a run that was begun for it under ``parent``."""
    claim, record = queue.take(), OpenRecord.create(parent, {})
    claim.set_run(record.id)
    train(record, 1)
    return claim, record


def train(record, epoch):
    record.log({"top1": 90.0 + epoch}, step=epoch)
    record.checkpoint.write_bytes(b"epoch %d" % epoch)


def cut_off(store, claim, record):
    """End the work of a machine while the trial is not done."""
    with pytest.raises(KeyboardInterrupt), store.kept_up_to_date(claim, record.folder):
        raise KeyboardInterrupt


def artifacts(tmp_path):
    return sorted(path.name for path in (tmp_path / "store").iterdir())


def test_another_machine_gets_the_run_as_it_stood(queue, store, tmp_path):
    claim, record = begin(queue, tmp_path / "a")
    record.set(iterations={1: {"top1": 91.0}})
    cut_off(store, claim, record)
    claim.put_back()
    again = queue.take()
    assert (again.run, [again.shared]) == (record.id, artifacts(tmp_path))
    folder = tmp_path / "b" / again.run
    store.fetch(again, folder)
    found = OpenRecord.open(folder)
    assert found.header == record.header
    assert found.metrics_from(0) == record.metrics_from(0)
    assert found.checkpoint.read_bytes() == b"epoch 1"
    assert found.files.is_dir()


def test_a_machine_whose_run_is_behind_is_brought_up_and_one_that_was_last_is_left_alone(queue, store, tmp_path):
    claim, first = begin(queue, tmp_path / "a")
    cut_off(store, claim, first)
    train(first, 2)  # after its last upload
    claim.put_back()

    claim = queue.take()
    store.fetch(claim, first.folder)
    assert first.checkpoint.read_bytes() == b"epoch 2"  # nobody went on with it since
    claim.put_back()

    claim = queue.take()
    store.fetch(claim, tmp_path / "b" / first.id)
    second = OpenRecord.open(tmp_path / "b" / first.id)
    for epoch in (2, 3):
        train(second, epoch)
    cut_off(store, claim, second)
    claim.put_back()

    claim = queue.take()
    store.fetch(claim, first.folder)
    assert first.checkpoint.read_bytes() == b"epoch 3"
    assert Record.read(first.folder).last_values() == {"top1": 93.0}


def test_a_run_is_uploaded_while_it_goes_on_and_but_once_is_kept(queue, store, tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "PAUSE", 0.01)
    claim, record = begin(queue, tmp_path / "a")
    with store.kept_up_to_date(claim, record.folder):
        for epoch in (2, 3, 4):
            train(record, epoch)
            content = record.checkpoint.read_bytes()

            def is_there(content=content):
                return any(content in path.read_bytes() for path in (tmp_path / "store").iterdir())

            wait_for(is_there)
    assert artifacts(tmp_path) == [claim.shared]
    claim.finish({"top1": 90.0, "lzw_bytes": 1000})
    store.forget(claim)
    assert artifacts(tmp_path) == []


def test_a_trial_that_was_given_away_is_not_uploaded_over(queue, store, tmp_path):
    claim, record = begin(queue, tmp_path / "a")
    cut_off(store, claim, record)
    queue.close(claim._trial_id)  # as one is that has long been silent
    queue.take_back()
    again = queue.take()
    train(record, 2)
    cut_off(store, claim, record)
    claim.finish({"top1": 90.0, "lzw_bytes": 1000})  # too late
    store.forget(claim)
    assert artifacts(tmp_path) == [again.shared]
    store.fetch(again, tmp_path / "b" / again.run)
    assert (tmp_path / "b" / again.run / "checkpoint.safetensors").read_bytes() == b"epoch 1"


@pytest.mark.parametrize("damage", ["gone", "cut short"])
def test_what_cannot_be_had_is_told_of_and_the_trial_begins_again(queue, store, tmp_path, caplog, damage):
    claim, record = begin(queue, tmp_path / "a")
    cut_off(store, claim, record)
    claim.put_back()
    again = queue.take()
    (artifact,) = (tmp_path / "store").iterdir()
    if damage == "gone":
        artifact.unlink()
    else:
        artifact.write_bytes(artifact.read_bytes()[:700])
    caplog.set_level(logging.WARNING, "wfn")
    store.fetch(again, tmp_path / "b" / again.run)
    (message,) = caplog.messages
    assert message.startswith(f"trial {again.number}: its run cannot be had from {artifact.name} (")
    assert not (tmp_path / "b" / again.run / "record.json").exists()
    again.set_run("another")
    assert again.shared == ""


def test_a_store_that_is_full_is_told_of_once_and_stops_no_run(queue, store, tmp_path, caplog, monkeypatch):
    def full(name, content):
        (tmp_path / "store" / name).write_bytes(content.read(10))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store._store, "write", full)
    monkeypatch.setattr(sharing, "PAUSE", 0.01)
    caplog.set_level(logging.WARNING, "wfn")
    claim, record = begin(queue, tmp_path / "a")
    with store.kept_up_to_date(claim, record.folder):
        wait_for(lambda: caplog.messages)
        train(record, 2)
    (message,) = caplog.messages
    assert "No space left on device" in message and message.endswith("; it goes on")
    assert claim.shared == ""
    assert artifacts(tmp_path) == []


@pytest.mark.parametrize(
    ("folder", "words"),
    [("file", "runs cannot be shared in file"), ("s3://bucket/runs", "artifacts must be a folder")],
)
def test_a_store_that_is_no_folder_is_told_of_before_anything_starts(call_here, tmp_path, folder, words):
    (tmp_path / "file").touch()
    status, output, error = call_here(main, "run", "delta", "--artifacts", folder)
    assert (status, output) == (2, "")
    assert words in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.fixture(params=["file", pytest.param("server", marks=pytest.mark.server)])
def storage(request, tmp_path):
    """What two machines share besides the store: a file, or a PostgreSQL."""
    if request.param == "server":
        return request.getfixturevalue("servers").url("studies")
    return f"sqlite:///{tmp_path / 'studies.db'}"


def options(tmp_path, machine, storage):
    """Those of ``studies run`` on a machine, whose runs are in a folder of its own."""
    found = {
        "model": "tests.support.tiny:held_network", "dataset": "tests.support.tiny:data", "shares": "0.5 1",
        "epochs": 2, "batch_size": 96, "validation_share": 0, "tracking": "folder", "device": "cpu", "workers": 1,
        "vary": "delta=0.01", "repeats": 1, "label": "shared", "storage": storage, "artifacts": tmp_path / "store",
        "folder": tmp_path / machine / "runs",
    }  # fmt: skip
    return ["run", "delta", *(word for name, value in found.items() for word in (f"--{name}", str(value)))]


@pytest.mark.process
@pytest.mark.parametrize(
    "storage", ["file", pytest.param("server", marks=[pytest.mark.server, pytest.mark.slow])], indirect=True
)
def test_a_machine_that_vanishes_in_mid_trial_is_replaced_by_another_with_the_same_bits(
    storage, start_program, tmp_path
):
    for machine in ("a", "b", "uncut"):
        (tmp_path / machine).mkdir()
    (tmp_path / "a" / "hold").touch()  # after the first of four epochs
    first = start_program("tests.support.warm_studies:main", options(tmp_path, "a", storage), tmp_path / "a")

    def held():
        if not any(b"checkpoint.safetensors" in path.read_bytes() for path in tmp_path.glob("store/*")):
            return None
        (trial,) = all_trials(Queue(storage, "shared"))
        return trial.user_attrs.get("shared") and trial

    trial = wait_for(held)
    first.kill()
    os.kill(int(trial.user_attrs["worker"].rpartition(":")[2]), signal.SIGKILL)
    (tmp_path / "a").rename(tmp_path / "vanished")

    second = start_program("tests.support.warm_studies:main", options(tmp_path, "b", storage), tmp_path / "b")
    _, error = second.communicate()
    assert second.returncode == 0, error
    (done,) = Queue(storage, "shared").trials()
    assert (done.state, done.run) == ("COMPLETE", trial.user_attrs["run"])
    assert artifacts(tmp_path) == []
    (log,) = (tmp_path / "b").glob("runs/*/worker-1.log")
    assert "its run comes from another machine" in log.read_text()
    assert EPOCH.findall(log.read_text()) == ["1/2", "2/2", "2/2"]  # what the first machine has done is not done again

    resumed = Record.read(tmp_path / "b" / "runs" / done.run)
    assert len(resumed.metrics_from(0)) == len({(line["key"], line["step"]) for line in resumed.metrics_from(0)})
    uncut, _ = run_tracked(Settings.recorded({**resumed.header.settings, "folder": str(tmp_path / "uncut")}))
    assert_same_bits(resumed, uncut)
    assert results(resumed) == results(uncut)


def results(record):
    """All that a run has measured but time, and the size of a file that names the run."""
    measured = record.last_values().items()
    return {name: value for name, value in measured if "seconds" not in name and name != "artefact_bytes"}


def assert_same_bits(record, other):
    """Both runs ended with the same tensors, bit for bit."""
    first, second = (load_file(each.files / "fixed.safetensors") for each in (record, other))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.numpy().tobytes() == second[name].numpy().tobytes(), name
