"""The way to a tracking store: what MLflow's local file refuses for a moment is tried again."""

import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow.exceptions import MlflowException

from wfn.runs.tracking import mlflow_database
from wfn.runs.tracking.mlflow_database import StoreAwayError, _PatientClient, opened

BUSY = "(sqlite3.OperationalError) database is locked [SQL: INSERT INTO runs ...]"
ADDED = "(sqlite3.IntegrityError) UNIQUE constraint failed: datasets.experiment_id, datasets.name, datasets.digest"
ADDED_IN_POSTGRESQL = '(psycopg.errors.UniqueViolation) duplicate key value violates unique constraint "dataset_pk"'
TAKEN = (
    "Experiment(name=wfn) already exists. Error: (sqlite3.IntegrityError) UNIQUE constraint failed: experiments.name"
)


@pytest.fixture
def slept(monkeypatch):
    """The moments that were waited for; no time passes."""
    moments = []
    clock = SimpleNamespace(sleep=moments.append, monotonic=lambda: sum(moments))
    monkeypatch.setattr(mlflow_database, "time", clock)
    return moments


def refusing(times, message):
    """A client that refuses so many times, then gives its arguments back."""
    left = [MlflowException(message)] * times

    def create_run(*arguments, **named):
        if left:
            raise left.pop()
        return arguments, named

    return _PatientClient(SimpleNamespace(create_run=create_run, tracking_uri="sqlite:///x"))


@pytest.mark.parametrize("message", [BUSY, ADDED, ADDED_IN_POSTGRESQL])
def test_where_another_process_came_first_it_is_tried_again(slept, message):
    assert refusing(3, message).create_run("0", tags={}) == (("0",), {"tags": {}})
    assert len(slept) == 3
    assert refusing(0, "").tracking_uri == "sqlite:///x"


def test_it_is_not_waited_for_without_end(slept):
    with pytest.raises(MlflowException, match="database is locked"):
        refusing(1000, BUSY).create_run()
    assert mlflow_database.OVERTAKEN_FOR <= sum(slept) < 2 * mlflow_database.OVERTAKEN_FOR


@pytest.mark.parametrize("message", ["no such run", TAKEN])
def test_what_else_a_store_refuses_is_told_at_once(slept, message):
    with pytest.raises(MlflowException, match=re.escape(message)):
        refusing(1, message).create_run()
    assert slept == []


def test_no_password_of_a_servers_address_is_shown(monkeypatch):
    import mlflow

    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: "http://me:secret@host:1/")
    with pytest.raises(StoreAwayError) as told, mlflow_database._told_in_one_line():
        raise MlflowException("API request to http://me:secret@host:1/api/2.0 failed")
    assert "http://me:***@host:1/api/2.0 failed" in str(told.value) and "secret" not in str(told.value)


def test_a_folder_whose_name_is_not_of_unicode_is_told_of(tmp_path, monkeypatch):
    import mlflow

    folder = tmp_path / os.fsdecode(b"of-latin-1-\xe9")
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: str(Path.cwd()).encode().decode())
    with pytest.raises(StoreAwayError, match="MLflow cannot use a name that is not of Unicode"), opened():
        pass
