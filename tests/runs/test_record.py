"""A run's record: what was written is there, once, whatever happened in between."""

import errno
import json
import os

import pytest

from wfn.errors import UserError
from wfn.runs.record import Record


@pytest.fixture
def record(tmp_path):
    return Record.create(tmp_path, {"delta": 0.1})


def test_a_record_is_found_by_id_and_by_folder(record, tmp_path):
    record.set(params={"a": 1}, tags={"b": 2})
    record.set(params={"c": 3}, status="KILLED")
    for name in (record.id, str(record.folder)):
        found = Record.find(name, tmp_path)
        assert found.header["params"] == {"a": 1, "c": 3}
        assert found.header["status"] == "KILLED"
        assert found.header["settings"] == {"delta": 0.1}
    with pytest.raises(UserError, match="no run 'nope'"):
        Record.find("nope", tmp_path)


def test_a_value_is_logged_once_a_step_also_after_it_is_opened_again(record):
    record.log({"top1": 1.0, "none": None}, step=1)
    record.log({"top1": 2.0, "loss": 3.0}, step=1)
    again = Record(record.folder)
    again.log({"top1": 4.0}, step=1)
    again.log({"top1": 5.0}, step=2)
    values = [(line["key"], line["step"], line["value"]) for line in again.metrics_from(0)]
    assert values == [("top1", 1, 1.0), ("loss", 1, 3.0), ("top1", 2, 5.0)]
    assert [line["value"] for line in again.metrics_from(2)] == [5.0]


def test_a_line_that_a_crash_cut_short_is_dropped_and_logged_again(record):
    record.log({"top1": 1.0}, step=1)
    path = record.folder / "metrics.jsonl"
    with path.open("a") as file:
        file.write('{"key": "top1", "val')
    again = Record(record.folder)
    again.log({"top1": 2.0}, step=2)
    assert [line["value"] for line in again.metrics_from(0)] == [1.0, 2.0]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot keep the run in"):
        Record.create(tmp_path / "file", {})


def test_a_full_disk_is_told_of(record, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        record.set(status="FINISHED")
    assert Record(record.folder).header["status"] == "RUNNING"


def test_a_damaged_record_is_told_of(record):
    (record.folder / "record.json").write_text("{")
    with pytest.raises(UserError, match="not the folder of a run"):
        Record(record.folder)
