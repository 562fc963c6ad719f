"""Runs of others: what they name is not run unasked, the damaged are left out, nothing comes in from outside."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import made_up_runs
from tests.support.places import ROOT
from wfn.__main__ import main
from wfn.errors import UserError
from wfn.runs.record import OpenRecord, Record, read_each
from wfn.runs.settings import Settings
from wfn.runs.tracking.mlflow_store import sync

SECRET = "what no store may have"


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """The folder of somebody's run, which names a module that lies in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.py").write_text("open('was_run', 'w')\n")
    settings = Settings(model="theirs:network", tracking="folder").flat()
    yield OpenRecord.create(tmp_path / "downloads", settings).folder
    sys.modules.pop("theirs", None)


def resume(folder, *options):
    return main(["--resume", str(folder), "--tracking", "folder", *options])


def test_code_that_a_record_from_elsewhere_names_is_not_run_unasked(foreign, tmp_path, capsys):
    assert resume(foreign) == 2
    assert "would import and run theirs:network" in capsys.readouterr().err
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("options", [["--trust", "true"], ["--model", "theirs:network"], ["--folder", "downloads"]])
def test_it_is_run_where_that_is_asked_for(foreign, tmp_path, capsys, options):
    assert resume(foreign, *options) == 2
    assert "theirs holds no function network" in capsys.readouterr().err
    assert (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frobnicate": 1}, "settings that this version does not know (frobnicate): it was begun by a newer one"),
        ({"seed": "0"}, "seed in the run's settings must be of type int, but is '0'"),
        ({"delta": None, "alpha": True}, "alpha in the run's settings must be of type float, but is True"),
        ({"method": 3}, "method in the run's settings must be a name, but is 3"),
        ({"method": "later"}, "unknown method 'later'"),
    ],
)
def test_settings_that_are_not_ours_are_told_of(change, words):
    with pytest.raises(UserError) as refused:
        Settings.recorded(Settings().flat() | change)
    assert words in str(refused.value)


def test_of_many_runs_the_damaged_are_left_out_and_nothing_from_outside_is_stored(
    own_store, tmp_path, monkeypatch, caplog
):
    import mlflow

    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text(SECRET)
    runs = tmp_path / "runs"
    sound, linked, headless, damaged = (made_up_runs.weight_fixing(runs, n, paired=False) for n in (1, 2, 3, 4))
    (linked.files / "link").symlink_to(tmp_path / "secret")
    (linked.files / "folder").symlink_to(tmp_path)
    (headless.folder / "record.json").write_text("{}")
    (damaged.folder / "copied.json").write_text(json.dumps({"x": 3}))
    brought_in = []
    with pytest.raises(UserError, match=f"2 of 4 runs were not brought in: {headless.id}, {damaged.id}"):
        brought_in.extend(record.id for record, _ in sync(runs, "wfn"))
    assert brought_in == [sound.id, linked.id]
    assert f"left out: {headless.folder}" in caplog.text and f"left out: {linked.files / 'link'} leads" in caplog.text
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("wfn").experiment_id
    (run,) = client.search_runs([experiment], f"tags.`wfn.record` = '{linked.id}'")
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"codebook.csv"}
    stored = [path for path in tmp_path.rglob("*") if path.is_file() and "artifacts" in path.parts]
    assert stored and not any(SECRET in path.read_text() for path in stored)


def test_a_run_that_may_not_be_entered_is_told_and_left_out(tmp_path, monkeypatch, caplog):
    """Root may enter all, so that it is only said here."""
    open_run, closed = (made_up_runs.weight_fixing(tmp_path / "runs", n, paired=False) for n in (1, 2))

    def refused(self, look=Path.is_file):
        if self.parent == closed.folder:
            raise PermissionError(13, "Permission denied", str(self))
        return look(self)

    def read(folder):
        return refused(folder / "record.json") and Record.read(folder)

    monkeypatch.setattr(Path, "is_file", refused)
    found, left_out = read_each(tmp_path / "runs", read)
    assert ([record.id for record in found], left_out) == ([open_run.id], [closed.id])
    assert f"left out: cannot read {closed.folder / 'record.json'} (Permission denied)" in caplog.text
    for run in (closed.folder, closed.id):
        monkeypatch.setattr(Record, "read", read)
        with pytest.raises(UserError, match=r"cannot read .* ask its owner"):
            Record.find(str(run), tmp_path / "runs")


@pytest.mark.process
@pytest.mark.parametrize("module", ["wfn", "studies", "reports"])
def test_no_file_of_the_current_folder_runs_in_the_place_of_a_package(module, tmp_path):
    for name in ("click", "logging", "mlflow", "dataclasses", "json", "typing"):
        (tmp_path / f"{name}.py").write_text("open('was_run', 'w')\n")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert "--help" in done.stdout and not (tmp_path / "was_run").exists()
