"""Bringing the record of a run into an MLflow tracking store: the only module that imports mlflow.

The record is the truth and the store a copy of it, so a store that cannot be reached costs nothing: what is missing
there is brought in later, by the same code, and what is there already is not brought in twice.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wfn.errors import UserError
from wfn.runs.record import Record
from wfn.system.files import write_atomically
from wfn.system.processes import is_dead, this_process

PREFIX = "wfn."  # mlflow run logs its parameters under their plain names, as literal strings
RECORD_TAG = "wfn.record"
PROCESS_TAG = "wfn.process"
COPIED = "copied.json"
BATCH = 1000  # the most values that MLflow takes in one call
PAUSE = 5.0  # seconds between two copies while a run goes on: tracking may not slow the run down


class Store:
    """An MLflow tracking store: that of ``MLFLOW_TRACKING_URI``, or MLflow's local default.

    Raises:
        UserError: it cannot be reached.
    """

    def __init__(self, experiment: str) -> None:
        with reached() as self._client:
            self.experiment = os.environ.get("MLFLOW_EXPERIMENT_ID") or self._experiment_id(experiment)
        self.uri = self._client.tracking_uri
        self._copied_at = 0.0

    def open_run(self, parent: str = "") -> str:
        """The id of the MLflow run to log to: that of ``mlflow run``, which set it in the environment, or a new one."""
        with reached():
            self._mark_killed_runs()
            given = os.environ.pop("MLFLOW_RUN_ID", None)
            run_id = given or self._client.create_run(self.experiment).info.run_id
            for name, value in {PROCESS_TAG: this_process(), **_parent_tag(parent)}.items():
                self._client.set_tag(run_id, name, value)
            return run_id

    def reopen_run(self, record: Record) -> None:
        """Go on with the MLflow run of a record."""
        run_id = self._run_id(record)
        with reached():
            launched = os.environ.pop("MLFLOW_RUN_ID", run_id)
            if launched != run_id:
                self._client.set_tag(launched, "mlflow.note.content", f"Went on with run {run_id}, see there.")
            self._client.update_run(run_id, status="RUNNING")
            self._client.set_tag(run_id, PROCESS_TAG, this_process())

    def copy(self, record: Record, now_and_then: bool = False) -> bool:
        """Bring in what the store lacks of the record's params, tags and metrics, and, once it has ended, its files.

        Args:
            record: what to copy.
            now_and_then: do nothing where the last copy is only seconds old.

        Returns:
            whether there was anything to bring in.

        Raises:
            UserError: the store cannot be reached; what it has by now is known, and the rest can follow.
        """
        if now_and_then and time.monotonic() < self._copied_at + PAUSE:
            return False
        with reached():
            done = self._copied(record)
            if record.header.ended and done.get("ended") == record.header.ended:
                return False
            run_id = done["run"] = done.get("run") or self._run_id(record)
            self._copy_header(record, run_id)
            for values in _batches(record.metrics_from(done.get("metrics", 0)), BATCH):
                self._client.log_batch(run_id, metrics=[_metric(value) for value in values])
                done["metrics"] = done.get("metrics", 0) + len(values)
                self._remember(record, done)
            if record.header.status != "RUNNING":
                self._client.log_artifacts(run_id, str(record.files))
                self._client.set_terminated(run_id, record.header.status, record.header.ended)
            done["ended"] = record.header.ended
            self._remember(record, done)
        self._copied_at = time.monotonic()
        return True

    def attach(self, record: Record) -> None:
        """Bring the record's files into its MLflow run as they are now, whether or not it goes on."""
        with reached():
            self._client.log_artifacts(self._run_id(record), str(record.files))

    def _copy_header(self, record: Record, run_id: str) -> None:
        from mlflow.entities import Param, RunTag

        there = self._client.get_run(run_id).data.params
        params = {PREFIX + key: str(value) for key, value in record.header.params.items()}
        params = [Param(key, value) for key, value in params.items() if key not in there]
        tags = [RunTag(key, str(value)) for key, value in record.header.tags.items()]
        for some in _batches(params, 100):
            self._client.log_batch(run_id, params=some)
        self._client.log_batch(run_id, tags=[*tags, RunTag(RECORD_TAG, record.id)])

    def _run_id(self, record: Record) -> str:
        """The MLflow run of a record: the one of the same id, one that an earlier copy made, or a new one."""
        if found := self._found(record.id):
            return found
        parent = record.header.settings.get("parent_run", "")
        tags = {RECORD_TAG: record.id, **_parent_tag(parent and (self._found(parent) or parent))}
        run = self._client.create_run(self.experiment, start_time=record.header.started, tags=tags)
        return run.info.run_id

    def _found(self, record_id: str) -> str:
        """The MLflow run of that record id, or the one that a copy made for it; empty where there is neither."""
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_run(record_id).info.run_id
        except MlflowException:
            query = f"tags.`{RECORD_TAG}` = '{record_id}'"
            made = self._client.search_runs([self.experiment], query, max_results=1)
        return made[0].info.run_id if made else ""

    def _copied(self, record: Record) -> dict[str, Any]:
        """What of the record is in this store: run, number of metrics, and when the run had ended."""
        return _read_copied(record).get(self.uri, {})

    def _remember(self, record: Record, done: dict[str, Any]) -> None:
        # In a file of its own: a run that goes on writes its record while a sync copies it.
        write_atomically(record.folder / COPIED, json.dumps(_read_copied(record) | {self.uri: done}).encode())

    def _experiment_id(self, name: str) -> str:
        experiment = self._client.get_experiment_by_name(name)
        return experiment.experiment_id if experiment else self._client.create_experiment(name)

    def _mark_killed_runs(self) -> None:
        """Runs of this machine that a kill -9 left RUNNING: mark them KILLED."""
        for run in self._client.search_runs([self.experiment], "attributes.status = 'RUNNING'"):
            if is_dead(run.data.tags.get(PROCESS_TAG, "")):
                self._client.set_terminated(run.info.run_id, "KILLED")


@contextmanager
def reached() -> Iterator[Any]:
    """MLflow's client for the store of ``MLFLOW_TRACKING_URI``, or for its local default.

    Raises:
        UserError: in the place of whatever MLflow raises inside where the store cannot be used.
    """
    # A server that is not there should be told of in seconds, not after MLflow's minutes of retries.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    import mlflow
    import requests
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield mlflow.MlflowClient()
    except (MlflowException, requests.RequestException, SQLAlchemyError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise UserError(
            f"the tracking store {mlflow.get_tracking_uri()} cannot be used ({reason}): check MLFLOW_TRACKING_URI, "
            "or track to a folder with tracking=folder"
        ) from error


def sync(folder: Path, experiment: str) -> list[tuple[Record, bool]]:
    """Bring a record, or every record in a folder of them, into the tracking store.

    Returns:
        Each record, and whether anything of it was still missing there.

    Raises:
        UserError: there is no record, or the store cannot be reached.
    """
    folders = [folder] if (folder / "record.json").is_file() else sorted(p.parent for p in folder.glob("*/record.json"))
    if not folders:
        raise UserError(f"{folder} holds no record of a run: give a run's folder, or the folder that holds them")
    store = Store(experiment)
    # Parents first: a study's run starts before its trials' runs.
    records = sorted(map(Record.read, folders), key=lambda record: record.header.started)
    return [(record, store.copy(record)) for record in records]


def _read_copied(record: Record) -> dict[str, dict[str, Any]]:
    path = record.folder / COPIED
    return json.loads(path.read_text()) if path.exists() else {}


def _metric(value: dict[str, Any]) -> Any:
    from mlflow.entities import Metric

    return Metric(value["key"], value["value"], value["timestamp"], value["step"])


def _batches(items: list, size: int) -> Iterator[list]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _parent_tag(parent: str) -> dict[str, str]:
    return {"mlflow.parentRunId": parent} if parent else {}
