"""What of a record is in which store: one process brings it in at a time, and a line says the way to its page."""

import shlex
import threading

import pytest

from wfn.runs.record import OpenRecord, now
from wfn.runs.tracking import mlflow_store
from wfn.runs.tracking.copies import COPYING, read_copy, remember_copy, way_to
from wfn.runs.tracking.mlflow_store import RECORD_TAG, sync
from wfn.system.files import held

DONE = {"run": "abc", "experiment": "7", "ended": 5}
RUNS = "#/experiments/7/runs?workflowType=machine_learning"


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    record = OpenRecord.create(tmp_path / "runs", {})
    record.set(status="FINISHED", ended=5)
    return record


def test_a_server_has_an_address_for_the_run(record):
    remember_copy(record, "http://host:1234/", DONE)
    assert way_to(record) == "http://host:1234/#/experiments/7/runs/abc?workflowType=machine_learning"
    remember_copy(record, "https://me:secret@host/path", DONE)
    assert way_to(record).startswith("https://host/path/#/")


def test_a_local_file_needs_a_command_and_then_an_address(record, tmp_path, monkeypatch):
    remember_copy(record, f"sqlite:///{tmp_path}/mlflow.db", DONE)
    assert way_to(record) == f"mlflow ui, then http://127.0.0.1:5000/{RUNS}"
    monkeypatch.chdir("/")
    store = f"--backend-store-uri sqlite:///{tmp_path}/mlflow.db"
    assert way_to(record) == f"mlflow ui {store}, then http://127.0.0.1:5000/{RUNS}"


def test_what_is_to_be_pasted_is_quoted_for_a_shell(tmp_path):
    """A folder may have any name."""
    odd = tmp_path / 'it\'s $HOME; "mine" *'
    record = OpenRecord.create(odd, {})
    assert shlex.split(record.sync_command) == ["wfn", "sync", str(odd / record.id)]
    record.set(status="FINISHED", ended=5)
    remember_copy(record, f"sqlite:///{odd}/mlflow.db", DONE)
    command, _, _ = way_to(record).rpartition(", then ")
    assert shlex.split(command) == ["mlflow", "ui", "--backend-store-uri", f"sqlite:///{odd}/mlflow.db"]


def test_a_password_is_not_shown(record, monkeypatch):
    uri = "postgresql://me:secret@host/mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    remember_copy(record, uri, DONE)
    assert way_to(record).startswith('mlflow ui --backend-store-uri "$MLFLOW_TRACKING_URI", then ')


def test_the_last_store_counts_and_only_one_that_has_all(record):
    assert way_to(record) == ""
    remember_copy(record, "http://first", DONE)
    remember_copy(record, "http://second", DONE)
    remember_copy(record, "http://first", DONE | {"metrics": 3})
    assert way_to(record).startswith("http://first/")
    assert read_copy(record, "http://second") == DONE
    record.set(ended=6)
    assert way_to(record) == ""


def test_a_sync_waits_for_another_one_of_the_same_record(client, tmp_path, monkeypatch):
    record = OpenRecord.create(tmp_path / "runs", {"method": "wfn", "delta": 0.01, "model": "m", "dataset": "d"})
    record.set(status="FINISHED", ended=now())
    syncing = threading.Thread(target=lambda: list(sync(tmp_path / "runs", "wfn")))
    with held(record.folder / COPYING):
        syncing.start()
        syncing.join(timeout=2)
        assert syncing.is_alive()
    syncing.join()
    monkeypatch.delattr(mlflow_store, "held")  # what is there already is not written to
    assert [missing for _, missing in sync(tmp_path / "runs", "wfn")] == [False]
    experiment = client.get_experiment_by_name("wfn").experiment_id
    assert len(client.search_runs([experiment], f"tags.`{RECORD_TAG}` = '{record.id}'")) == 1
