"""A run's record: what was written is there, once, whatever happened in between; reading it changes nothing."""

import errno
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfn.errors import UserError
from wfn.runs.record import LOCK, METRICS, OpenRecord, Record, alone, now
from wfn.runs.run_header import STATUSES, RunHeader

TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
NAMES = st.text(min_size=1, max_size=5).filter(str.isprintable)
OBJECTS = st.dictionaries(NAMES, st.integers() | st.booleans() | st.none() | TEXTS | st.floats(allow_nan=False))
TIMES = st.integers(0, 253_402_300_799_999)
ROWS = st.dictionaries(NAMES, st.floats(allow_nan=False) | st.none(), max_size=3)


@pytest.fixture
def record(tmp_path):
    return OpenRecord.create(tmp_path, {"delta": 0.1})


def content(folder):
    """Every file under a folder: what it holds, and when that was written."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_record_is_found_by_id_and_by_folder(record, tmp_path):
    record.set(params={"a": 1}, tags={"b": 2})
    record.set(params={"c": 3}, status="KILLED")
    for name in (record.id, str(record.folder)):
        found = Record.find(name, tmp_path)
        assert found.header.params == {"a": 1, "c": 3}
        assert found.header.status == "KILLED"
        assert found.header.settings == {"delta": 0.1}
    with pytest.raises(UserError, match="no run 'nope'"):
        Record.find("nope", tmp_path)


def test_a_value_is_logged_once_a_step_also_after_it_is_opened_again(record):
    record.log({"top1": 1.0, "none": None}, step=1)
    record.log({"top1": 2.0, "loss": 3.0}, step=1)
    again = OpenRecord.open(record.folder)
    again.log({"top1": 4.0}, step=1)
    again.log({"top1": 5.0}, step=2)
    values = [(line["key"], line["step"], line["value"]) for line in again.metrics_from(0)]
    assert values == [("top1", 1, 1.0), ("loss", 1, 3.0), ("top1", 2, 5.0)]
    assert [line["value"] for line in again.metrics_from(2)] == [5.0]


def test_the_last_value_of_a_metric_is_that_of_its_greatest_step(record):
    for step, value in ((1, 1.0), (3, 3.0), (2, 2.0)):
        record.log({"top1": value}, step)
    record.log({"loss": 0.5}, step=0)
    assert record.last_values() == {"top1": 3.0, "loss": 0.5}


@given(data=st.data())
def test_after_a_crash_at_any_byte_whole_lines_are_there_and_the_run_can_go_on(tmp_path_factory, data):
    record = OpenRecord.create(tmp_path_factory.mktemp("runs"), {})
    for step in range(3):
        record.log({"top1": step, "loss": -step}, step)
    path = record.folder / METRICS
    written = path.read_bytes()
    cut = data.draw(st.integers(0, len(written)))
    path.write_bytes(written[:cut])
    before = content(record.folder)
    whole = Record.read(record.folder).metrics_from(0)
    assert whole == record.metrics_from(0)
    assert len(whole) == written[:cut].count(b"\n")
    assert content(record.folder) == before  # reading mends nothing
    again = OpenRecord.open(record.folder)
    for step in range(3):
        again.log({"top1": step, "loss": -step}, step)
    values = [(line["key"], line["step"], line["value"]) for line in again.metrics_from(0)]
    assert values == [(key, step, sign * step) for step in range(3) for key, sign in (("top1", 1), ("loss", -1))]


def test_what_was_read_stays_as_it_was(record):
    read = Record.read(record.folder)
    record.set(status="FINISHED", iterations={1: {"top1": 90.0}})
    assert (read.header.status, read.header.iterations) == ("RUNNING", {})
    assert Record.read(record.folder).header == record.header


def test_a_listener_is_told_whenever_the_record_has_grown(record):
    heard = []
    record.subscribe(lambda told: heard.append((len(told.metrics_from(0)), dict(told.header.tags))))
    record.log({"top1": 1.0}, step=1)
    record.set(tags={"a": "b"})
    assert heard == [(1, {}), (1, {"a": "b"})]


def test_what_a_listener_raises_comes_through_after_the_value_is_kept(record):
    def refuse(told):
        raise KeyError("no more")

    record.subscribe(refuse)
    with pytest.raises(KeyError, match="no more"):
        record.log({"top1": 1.0}, step=1)
    assert Record.read(record.folder).last_values() == {"top1": 1.0}


@given(
    header=st.builds(
        RunHeader, st.from_regex("[A-Za-z0-9][A-Za-z0-9._-]{,5}", fullmatch=True), OBJECTS, OBJECTS, OBJECTS,
        st.dictionaries(st.integers(0, 99), ROWS, max_size=3), st.sampled_from(STATUSES), TIMES, st.none() | TIMES,
    )
)  # fmt: skip
def test_a_header_comes_back_from_its_text_the_same(header, tmp_path_factory):
    assert RunHeader.from_json(header.to_json(), tmp_path_factory.getbasetemp(), "record.json") == header


def test_a_record_of_an_older_version_is_read(tmp_path):
    """The keys and types of record.json, as folders of runs have them since the first version."""
    header = {
        "id": "abc", "settings": {"delta": 0.1}, "params": {"delta": 0.1, "seed": 0}, "tags": {"method": "wfn"},
        "iterations": {"1": {"iteration": 1, "top1": 90.5, "held_back_top1": None}}, "status": "KILLED",
        "started": 1700000000000, "ended": None,
    }  # fmt: skip
    (tmp_path / "record.json").write_text(json.dumps(header))
    (tmp_path / METRICS).write_text('{"key": "top1", "value": 90.5, "step": 1, "timestamp": 1700000000001}\n')
    record = Record.read(tmp_path)
    assert record.header == RunHeader(**header | {"iterations": {1: header["iterations"]["1"]}})
    assert record.last_values() == {"top1": 90.5}


def test_a_metric_that_was_called_otherwise_is_read_by_its_name_of_now(tmp_path):
    old = RunHeader("abc", {"temperature": 0.05}, iterations={1: {"temperature": 1.5, "top1": 90.5}})
    (tmp_path / "record.json").write_text(old.to_json())
    names = ("temperature", "baseline_temperature", "temperature_from_baseline", "top1")
    lines = [{"key": name, "value": 1.5, "step": 1, "timestamp": 1} for name in names]
    (tmp_path / METRICS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    record, now = Record.read(tmp_path), "calibration_temperature"
    assert record.header.settings == old.settings and record.header.iterations[1] == {now: 1.5, "top1": 90.5}
    assert {*record.last_values()} == {now, f"baseline_{now}", f"{now}_from_baseline", "top1"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": None}, "id in record.json must be a valid string, but is None"),
        ({"id": "x' or 1"}, "id in record.json must be letters, digits, points and dashes"),
        ({"settings": []}, "settings in record.json must be an object, but is []"),
        ({"settings": {"delta": [1]}}, "settings delta in record.json must be a text, a number, true, false or null"),
        ({"params": 3}, "params in record.json"),
        ({"tags": "x"}, "tags in record.json"),
        ({"tags": {"\x1b[31m": "x"}}, "must be a name without control characters, but is '\\x1b[31m'"),
        ({"iterations": {"first": {}}}, "iterations first [key] in record.json must be a valid integer"),
        ({"iterations": {"1": 5}}, "iterations 1 in record.json must be an object, but is 5"),
        ({"status": "DONE"}, "must be 'RUNNING', 'FINISHED', 'FAILED' or 'KILLED', but is 'DONE'"),
        ({"started": "now"}, "started in record.json must be a valid integer, but is 'now'"),
        ({"started": 10**30}, "started in record.json must be less than 253402300800000"),
        ({"ended": True}, "ended in record.json must be a valid integer, but is True"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_field_that_holds_something_else_is_told_of_by_name(record, change, words):
    path = record.folder / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert_is_refused(record.folder, words)


@pytest.mark.parametrize("name", ["id", "settings", "params", "tags", "iterations", "status", "started", "ended"])
def test_a_missing_field_is_told_of_by_name(record, name):
    path = record.folder / "record.json"
    header = json.loads(path.read_text())
    del header[name]
    path.write_text(json.dumps(header))
    assert_is_refused(record.folder, f"{name} is missing in record.json")


@pytest.mark.parametrize("text", ["{", "[1]", "\udcff", "[" * 100_000, '{"id": "\\ud800"}', "9" * 9999])
def test_a_header_that_is_none_is_told_of(record, text):
    (record.folder / "record.json").write_text(text, errors="surrogateescape")
    assert_is_refused(record.folder, "record.json")


@pytest.mark.parametrize("line", ["{", "3", '{"key": "top1"}', '{"key": 1, "value": 1, "step": 1, "timestamp": 1}'])
def test_a_damaged_line_is_told_of_by_number(record, line):
    record.log({"top1": 1.0}, step=1)
    with (record.folder / METRICS).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(UserError, match=r"line 2 of metrics\.jsonl must be a key, a value, a step and a timestamp"):
        Record.read(record.folder).metrics_from(0)


@pytest.mark.parametrize("name", ["record.json", "metrics.jsonl", "files"])
def test_what_leads_out_of_the_folder_is_not_read(record, tmp_path, name):
    record.log({"top1": 1.0}, step=1)
    path = record.folder / name
    path.rename(tmp_path / name)
    path.symlink_to(tmp_path / name)
    with pytest.raises(UserError, match=f"{name} leads out of it"):
        Record.read(record.folder).metrics_from(0)


def test_a_pipe_is_not_waited_for(record):
    os.mkfifo(record.folder / METRICS)
    with pytest.raises(UserError, match="is no file"):
        OpenRecord.open(record.folder)


def test_a_path_that_is_not_of_unicode_leaves_a_record_that_can_be_read(tmp_path):
    record = OpenRecord.create(tmp_path, {"folder": "caf\udce9"})
    assert Record.read(record.folder).header.settings == {"folder": "caf?"}


def assert_is_refused(folder, words):
    for way in (Record.read, OpenRecord.open):
        with pytest.raises(UserError) as refusal:
            way(folder)
        message = str(refusal.value)
        assert message.startswith(f"{folder} is not the folder of a run: ") and words in message
        assert "\n" not in message


@pytest.mark.parametrize("moment", [-5.0, 4e11])
def test_a_clock_that_is_far_out_leaves_a_record_that_can_be_read(record, monkeypatch, moment):
    monkeypatch.setattr("wfn.runs.record.time.time", lambda: moment)
    record.log({"top1": 1.0}, step=1)
    record.set(status="FINISHED", ended=now())
    assert Record.read(record.folder).last_values() == {"top1": 1.0}


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot keep the run in"):
        OpenRecord.create(tmp_path / "file", {})


def test_a_folder_that_cannot_be_held_is_told_of(record):
    (record.folder / LOCK).mkdir()
    with pytest.raises(UserError, match="cannot write to"), alone(record.folder):
        pass


def test_a_full_disk_is_told_of(record, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        record.set(status="FINISHED")
    assert Record.read(record.folder).header.status == "RUNNING"
