"""What `mlflow run` starts finds the caller's files: started by MLflow itself, from a folder and from a Git URI."""

import subprocess

import psutil
import pytest

from wfn.commands.from_mlflow import folder_of_caller
from wfn.runs.tracking.launched import RUN_ID

PROJECT = """\
name: small
entry_points:
  main:
    parameters: {text: {type: string}}
    command: "python -m wfn.commands.from_mlflow show --text {text}"
"""
SHOW = """\
import os, sys
from pathlib import Path
import beside
Path("shown.txt").write_text("|".join([os.getcwd(), *sys.argv[1:], beside.__file__]))
"""


@pytest.mark.process
@pytest.mark.parametrize("kind", ["folder", "git"])
def test_the_module_runs_where_mlflow_was_called(kind, tmp_path, monkeypatch):
    import mlflow

    project, caller = tmp_path / "project", tmp_path / "caller"
    project.mkdir()
    caller.mkdir()
    for name, text in (("MLproject", PROJECT), ("show.py", SHOW), ("beside.py", "")):
        (project / name).write_text(text)
    if kind == "git":
        for command in ("init --quiet", "add .", "-c user.name=a -c user.email=a@b.c commit --quiet -m all"):
            subprocess.run(["git", *command.split()], cwd=project, check=True)
    monkeypatch.chdir(caller)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    uri = str(project)
    if kind == "git":  # a URI that MLflow clones, as it does not a local one
        uri = "https://git.invalid/project"
        monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
        monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{project.as_uri()}.insteadOf")
        monkeypatch.setenv("GIT_CONFIG_VALUE_0", uri)
    mlflow.projects.run(uri, parameters={"text": "a b"}, env_manager="local")
    folder, *arguments, beside = (caller / "shown.txt").read_text().split("|")
    assert folder == str(caller)
    assert arguments == ["--text", "a b"]
    assert (str(project) in beside) is (kind == "folder")  # of a Git URI the clone's


class Above:
    """A process above this one."""

    def __init__(self, folder, run, hidden=False):
        self._folder, self._environment, self._hidden = folder, {RUN_ID: run} if run else {}, hidden

    def cwd(self):
        if self._hidden:
            raise psutil.AccessDenied
        return str(self._folder)

    def environ(self):
        return self._environment


class Below:
    def __init__(self, *above):
        self._above = above

    def parents(self):
        return list(self._above)


def test_who_called_is_told_by_the_processes_above(tmp_path, monkeypatch):
    project, caller, elsewhere = (tmp_path / name for name in ("project", "caller", "elsewhere"))
    for folder in (project, caller, elsewhere):
        folder.mkdir()
    monkeypatch.chdir(project)
    shell, far = Above(project, "7"), Above(elsewhere, "")
    monkeypatch.setenv(RUN_ID, "7")
    assert folder_of_caller(Below(shell, shell, Above(caller, ""), far)) == caller
    assert folder_of_caller(Below(shell, Above(caller, "7"), far)) == caller  # mlflow.projects.run(synchronous=False)
    assert folder_of_caller(Below(shell, Above(project, ""), far)) == project  # mlflow run .
    assert folder_of_caller(Below(shell, Above(project, "6"), far)) == project  # a run that starts another one
    assert folder_of_caller(Below(shell, Above(caller, "", hidden=True), far)) == project
    assert folder_of_caller(Below(shell, Above(tmp_path / "gone", ""), far)) == project
    monkeypatch.delenv(RUN_ID)
    assert folder_of_caller(Below(shell, Above(caller, ""), far)) == project
