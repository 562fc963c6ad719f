"""Saves given to a report by path: each is measured by one run, once, and what is wrong is told of before any run."""

import json
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from reports.__main__ import main, reports
from reports.records.released_saves import settings_of
from tests.support import made_up_runs, made_up_saves
from tests.support.places import ROOT
from wfn.runs.settings import Settings

NETWORK = ["--model", "tests.support.made_up_saves:network", "--dataset", "tests.support.made_up_saves:pictures"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made_up_saves.write(tmp_path / "save.tar")


@pytest.fixture
def no_runs(monkeypatch):
    """Fail where a run is begun."""
    monkeypatch.setattr("wfn.runs.run.run_tracked", lambda *arguments, **named: pytest.fail("a run was begun"))


@pytest.fixture
def without_writing(undrawn, monkeypatch):
    """Where a test looks at runs alone: no report over them is written, which takes seconds, and no figure drawn."""
    monkeypatch.setattr("reports.report.write", lambda runs, out, peers: [])


def report(*arguments):
    return main([*NETWORK, *map(str, arguments)])


def records():
    return [json.loads(path.read_text()) for path in sorted(Path("runs").glob("*/record.json"))]


def test_saves_are_measured_by_tracked_runs_and_taken_into_the_report():
    assert report("--save", "2=save.tar", "--save", "3=save.tar") == 0
    text = Path("report/report.md").read_text()
    assert "APoT (2bit)" in text and "APoT (3bit)" in text
    assert {record["settings"]["bits"] for record in records()} == {2, 3}
    for record in records():
        assert (record["status"], record["settings"]["tracking"]) == ("FINISHED", "folder")
        assert len(record["params"]["save_sha256"]) == 64
        assert record["id"][:8] in text and f"save {record['params']['save_sha256'][:8]}" in text


@pytest.mark.usefixtures("without_writing")
def test_a_save_that_was_measured_is_not_measured_again(request):
    assert report("--save", "3=save.tar") == 0
    request.getfixturevalue("no_runs")
    shutil.copy("save.tar", "the same.tar")
    assert report("--save", "3=the same.tar") == 0
    assert len(records()) == 1
    shutil.move("runs", "elsewhere")
    assert report("--runs", "elsewhere", "--save", "3=save.tar") == 0
    assert not Path("runs").exists()


@pytest.mark.usefixtures("without_writing")
def test_a_run_that_was_started_by_hand_counts_for_what_it_read_then(request):
    from wfn.__main__ import main as wfn

    assert wfn([*NETWORK, "--method", "apot", "--save", "save.tar", "--bits", "3", "--tracking", "folder"]) == 0
    shutil.move("save.tar", "moved.tar")
    made_up_saves.write("save.tar", made_up_saves.fill("conv1.weight", [0.5, -1.0, 0.25]))
    assert report("--save", "3=save.tar") == 0
    assert len(records()) == 2
    request.getfixturevalue("no_runs")
    assert report("--save", "3=moved.tar") == 0


@pytest.mark.usefixtures("without_writing")
def test_a_run_too_old_to_know_its_saves_hash_does_not_count():
    assert report("--save", "3=save.tar") == 0
    (path,) = Path("runs").glob("*/record.json")
    record = json.loads(path.read_text())
    del record["params"]["save_sha256"]
    path.write_text(json.dumps(record))
    assert report("--save", "3=save.tar") == 0
    assert len(records()) == 2


@pytest.mark.usefixtures("without_writing")
def test_going_on_with_another_save_is_refused(capsys):
    from wfn.__main__ import main as wfn

    assert report("--save", "3=save.tar") == 0
    (record,) = records()
    folder = Path("runs", record["id"])
    (folder / "record.json").write_text(json.dumps(record | {"status": "KILLED"}))
    made_up_saves.write("save.tar", made_up_saves.fill("conv1.weight", [0.5, -1.0, 0.25]))
    assert wfn(["--resume", str(folder), "--tracking", "folder"]) == 2
    assert "began with other save (save_sha256" in capsys.readouterr().err


@pytest.mark.parametrize("other", [["--save", "2=save.tar"], ["--save", "3=other.tar"]])
@pytest.mark.usefixtures("without_writing")
def test_another_save_or_other_bits_are_measured(other):
    made_up_saves.write("other.tar", made_up_saves.fill("conv1.weight", [0.5, -1.0, 0.25]))
    assert report("--save", "3=save.tar") == 0
    assert report(*other) == 0
    assert len(records()) == 2


def test_one_text_may_hold_several_saves_and_empty_ones_are_none(tmp_path):
    shutil.copy("save.tar", "a save.tar")
    own = {"model": "tests.support.made_up_saves:network", "dataset": "tests.support.made_up_saves:pictures"}
    found = settings_of(["2=save.tar 3=a save.tar", "", " 4=save.tar"], **own)
    assert [(settings.options["bits"], settings.options["save"]) for settings in found] == [
        (2, "save.tar"), (3, "a save.tar"), (4, "save.tar"),
    ]  # fmt: skip
    assert settings_of(["", " "], **own) == []


def test_a_report_changes_nothing_of_the_runs_that_it_reads():
    for record in (made_up_runs.weight_fixing(Path("runs"), 1), made_up_runs.going_on(Path("runs"), 2)):
        with (record.folder / "metrics.jsonl").open("a") as file:
            file.write('{"key": "top1", "val')  # a line that is being written

    def content():
        return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in Path("runs").rglob("*") if p.is_file()}

    before = content()
    assert main(["--runs", "runs"]) == 0
    assert Path("report/report.pdf").exists() and content() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--save", "save.tar"], "bits=file"),
        (["--save", "three=save.tar"], "bits=file"),
        (["--save", "3="], "bits=file"),
        (["--save", "32=save.tar"], "bits must be one of 2, 3, 4, 5"),
        (["--save", "3=save.tar", "--save", "3=nothing.tar"], "no file 'nothing.tar'"),
        (["--save", "3=save.tar", "--save", "2=levels.tar"], "7 distinct values, 2 bits allow 3"),
        (["--save", "3=save.tar", "--save", "3=text.tar"], "could not be read"),
        (["--save", "3=save.tar", "--weights", "nothing.pth"], "no file 'nothing.pth'"),
        (["--save", "3=save.tar", "--model", "resnet20_conv"], "by --weights"),
        (["--save", "3=save.tar", "--model", "resnet21"], "unknown network 'resnet21'"),
        (["--save", "3=save.tar", "--dataset", "imagenet", "--data_folder", "empty"], "empty"),
    ],
)
def test_bad_input_gets_one_line_before_any_run(no_runs, capsys, arguments, words):
    made_up_saves.write("levels.tar", made_up_saves.fill("layer1.0.conv1.weight", [-3.0, -2, -1, 0, 1, 2, 3]))
    Path("text.tar").write_text("no save")
    Path("empty").mkdir()
    assert report(*arguments) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and errors[0].startswith("error: ") and words in errors[0]
    assert not records() and not Path("report").exists()


def test_options_and_project_have_the_same_names_and_defaults_and_those_of_a_run_its_names():
    entry = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]["report"]
    options = {parameter.opts[0].removeprefix("--"): parameter for parameter in reports.params}
    assert list(entry["parameters"]) == list(options)
    for name, declared in entry["parameters"].items():
        assert declared["default"] == ("" if options[name].multiple else options[name].default), name
    of_a_run = {setting.name for setting in fields(Settings)}
    assert {"model", "dataset", "data_folder", "weights", "folder"} <= options.keys() & of_a_run
