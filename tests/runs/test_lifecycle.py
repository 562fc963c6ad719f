"""A run from its beginning to its end: whatever happens in between, record and store say how it ended."""

import errno
import logging
import os
import signal
import threading
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from sqlalchemy.exc import SQLAlchemyError

from tests.support.waiting import LIMIT
from wfn.errors import RunInterrupted, UserError
from wfn.runs import lifecycle
from wfn.runs.lifecycle import RunHandle, Stopped
from wfn.runs.record import OpenRecord, Record, alone, new_id
from wfn.runs.settings import Settings
from wfn.runs.tracking import copier, mlflow_database
from wfn.system import ranks
from wfn.system.processes import ENDING


@pytest.fixture
def settings(tmp_path):
    return Settings(method="float", tracking="folder", folder=str(tmp_path))


def end_by(settings, event):
    """Begin a run that ends by ``event``; its record as it lies in its folder then."""
    with pytest.raises(BaseException) as caught, RunHandle.open(settings) as handle:
        event()
    assert not isinstance(caught.value, AssertionError)
    return Record.read(handle.record.folder)


def raises(error):
    def event():
        raise error

    return event


def interrupt():
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()


@pytest.mark.parametrize(
    ("event", "status", "tags"),
    [
        (raises(KeyError("lost")), "FAILED", {"error": "KeyError: 'lost'"}),
        (raises(Stopped("pruned: no hope")), "KILLED", {"stopped": "pruned: no hope"}),
        (interrupt, "KILLED", {}),
        (raises(SystemExit(0)), "FAILED", {"error": "SystemExit: 0"}),
    ],
)
def test_however_a_run_ends_its_record_says_so_and_it_can_be_resumed(settings, event, status, tags):
    record = end_by(settings, event)
    assert (record.header.status, dict(record.header.tags)) == (status, tags)
    assert record.header.ended >= record.header.started
    with RunHandle.open(replace(settings, resume=record.id)) as handle:
        assert handle.record.id == record.id
        assert (handle.record.header.status, handle.record.header.ended) == ("RUNNING", None)
        assert not any(handle.record.header.tags.values())
    assert Record.read(record.folder).header.status == "FINISHED"


def test_a_run_that_cannot_be_marked_finished_does_not_end_as_if_it_were(settings, monkeypatch):
    def broken(path, content):
        raise OSError(errno.EIO, "Input/output error")

    refusal = pytest.raises(UserError, match=r"cannot write to .* once that is mended, go on with --resume")
    with refusal, RunHandle.create(settings) as handle:
        monkeypatch.setattr("wfn.runs.record.write_atomically", broken)
    assert Record.read(handle.record.folder).header.status == "RUNNING"


def test_a_finished_run_is_resumed_only_on_demand(settings):
    with RunHandle.create(settings) as handle:
        handle.log({"top1": 90.0}, step=1)
    again = replace(settings, resume=handle.record.id)
    with pytest.raises(UserError, match="is finished: there is nothing to go on with"), RunHandle.open(again):
        pass
    assert Record.read(handle.record.folder).header.status == "FINISHED"
    with RunHandle.open(again, even_finished=True) as handle:
        assert handle.record.last_values() == {"top1": 90.0}


def test_a_resumed_run_has_the_settings_that_it_began_with(settings):
    with RunHandle.create(replace(settings, seed=7)) as handle:
        pass
    with RunHandle.resume(replace(settings, resume=handle.record.id), even_finished=True) as handle:
        assert handle.settings.seed == 7


def test_a_run_goes_on_with_the_threads_that_it_began_with(settings, caplog):
    here = torch.get_num_threads()
    caplog.set_level(logging.INFO, "wfn")
    with pytest.raises(KeyError), RunHandle.create(replace(settings, threads=here + 1)) as handle:
        assert torch.get_num_threads() == here + 1
        raise KeyError
    assert torch.get_num_threads() == here
    record = OpenRecord.open(handle.record.folder)
    record.set(params={"threads": str(here + 2)}, settings=dict(record.header.settings) | {"threads": 0})
    again = replace(settings, resume=record.id)
    with RunHandle.resume(again):
        assert torch.get_num_threads() == here + 2
    assert f"began with {here + 2} threads, on which its bits depend: it goes on with as many, not" in caplog.text
    refusal = pytest.raises(UserError, match=rf"threads was {here + 2}, is {here}")
    with refusal, RunHandle.resume(replace(again, threads=here)):
        pass
    with RunHandle.resume(replace(again, threads=here + 2), even_finished=True):
        assert torch.get_num_threads() == here + 2


def test_a_run_that_is_going_on_is_held(settings):
    with RunHandle.create(settings) as handle:
        refusal = pytest.raises(UserError, match="is going on in another process: wait for it, or stop it")
        with refusal, RunHandle.resume(replace(settings, resume=handle.record.id)):
            pass
        assert Record.read(handle.record.folder).header.status == "RUNNING"


def test_what_a_kill_left_before_there_was_a_record_is_swept_by_the_next_run(settings, tmp_path):
    unborn, empty, held_one, other = (tmp_path / name for name in (new_id(), new_id(), new_id(), "mine"))
    for folder in (unborn, held_one):
        (folder / "files").mkdir(parents=True)
        (folder / "lock").touch()
        (folder / ".record.json.0123.partial").touch()
    empty.mkdir()
    other.mkdir()
    with alone(held_one), RunHandle.create(settings) as handle:
        assert {path for path in tmp_path.iterdir() if path.is_dir()} == {handle.record.folder, held_one, other}


class LostStore:
    """A tracking store that was there at the beginning of the run."""

    def __init__(self, experiment):
        self.copies, self.copied = [], threading.Event()

    def finish_left_runs(self, parent):
        pass

    def open_run(self, started, settings):
        return new_id()

    def system_metrics(self, record):
        return nullcontext()

    def copy(self, record):
        self.copies.append(record.header.status)
        self.copied.set()
        raise UserError("the tracking store cannot be used")


def test_a_store_that_is_lost_on_the_way_is_told_of_once_and_at_the_end(settings, monkeypatch, caplog):
    store = LostStore("wfn")
    monkeypatch.setattr(lifecycle, "Store", lambda experiment: store)
    monkeypatch.setattr(copier, "PAUSE", 0.0)
    caplog.set_level(logging.WARNING, "wfn")
    with RunHandle.open(replace(settings, tracking="mlflow")) as handle:
        for step in range(3):
            store.copied.clear()
            handle.log({"top1": 1.0}, step=step)
            assert store.copied.wait(LIMIT)
    assert store.copies[-1] == "FINISHED"
    sync = f"wfn sync {handle.record.folder}"
    assert caplog.messages == [
        f"the tracking store cannot be used; the run goes on; bring it in later: {sync}",
        f"the tracking store cannot be used; bring the run in later: {sync}",
    ]
    assert Record.read(handle.record.folder).header.status == "FINISHED"


def test_a_run_does_not_wait_for_a_store_that_hangs(settings, monkeypatch, caplog):
    store, answers = LostStore("wfn"), threading.Event()
    store.copy = lambda record: store.copied.set() or answers.wait()
    monkeypatch.setattr(lifecycle, "Store", lambda experiment: store)
    monkeypatch.setattr(copier, "SILENCE", 0.0)
    with RunHandle.open(replace(settings, tracking="mlflow")) as handle:
        handle.log({"top1": 1.0}, step=0)
        assert store.copied.wait(LIMIT)
        handle.log({"top1": 2.0}, step=1)
    answers.set()
    assert Record.read(handle.record.folder).last_values() == {"top1": 2.0}
    assert "has not answered for 0 seconds; bring the run in later" in caplog.messages[-1]


def test_an_interrupt_that_a_database_complains_of_stays_one():
    with pytest.raises(KeyboardInterrupt), mlflow_database._told_in_one_line():
        try:
            raise KeyboardInterrupt
        finally:
            raise SQLAlchemyError("Can't reconnect until invalid transaction is rolled back")


def test_more_signals_than_one_change_nothing(settings):
    with pytest.raises(RunInterrupted) as caught, RunHandle.open(settings) as handle:
        try:
            interrupt()
        finally:
            for number in ENDING:  # while the first is on its way
                os.kill(os.getpid(), number)
    assert caught.value.run == handle.record.id
    assert Record.read(handle.record.folder).header.status == "KILLED"


def test_a_signal_that_comes_while_the_end_is_written_comes_after_it(settings, monkeypatch):
    finish = RunHandle.finish

    def interrupted(self, status, tags):
        os.kill(os.getpid(), signal.SIGINT)
        finish(self, status, tags)

    monkeypatch.setattr(RunHandle, "finish", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught, RunHandle.open(settings) as handle:
        pass
    assert not isinstance(caught.value, RunInterrupted)  # there is nothing to go on with
    assert Record.read(handle.record.folder).header.status == "FINISHED"


def test_other_ranks_read_what_the_first_has_told_and_write_nothing(settings, monkeypatch, tmp_path):
    told = []
    monkeypatch.setattr(ranks, "from_first", lambda work=None: told.append(work()) if work else told[0])
    with RunHandle.open(settings) as first:
        monkeypatch.setattr(ranks, "this", lambda: 1)
        with RunHandle.open(Settings(method="float")) as handle:
            assert (handle.settings, handle.record.id) == (settings, first.record.id)
            handle.log({"top1": 1.0}, step=1)
            handle.set(status="FAILED")
        monkeypatch.setattr(ranks, "this", lambda: 0)
    record = Record.read(first.record.folder)
    assert (record.header.status, record.last_values()) == ("FINISHED", {})
    assert len(list(tmp_path.iterdir())) == 1


def test_one_resumed_by_its_path_says_in_which_folder_it_is_to_be_looked_for(settings, tmp_path, monkeypatch):
    with pytest.raises(RunInterrupted), RunHandle.open(settings) as handle:
        interrupt()
    monkeypatch.chdir(tmp_path)
    again = replace(settings, folder=type(settings).folder, resume=str(handle.record.folder), trust=True)
    with pytest.raises(RunInterrupted) as caught, RunHandle.open(again):
        interrupt()
    assert caught.value.folder == str(handle.record.folder.parent)
