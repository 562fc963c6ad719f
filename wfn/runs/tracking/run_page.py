"""What a run's page in MLflow has beside metrics and parameters: of the record, too, and so the same by a sync."""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from threading import Thread
from typing import Any

from wfn.errors import first_line
from wfn.methods.observers.metric_groups import BASELINE, ITERATION
from wfn.runs.record import Record, leads_out
from wfn.runs.run_header import RunHeader
from wfn.runs.tracking.launched import NOTE_TAG, point, show_values
from wfn.runs.tracking.mlflow_database import StoreAwayError
from wfn.runs.tracking.names import in_store, per_of
from wfn.system.files import is_partial

log = logging.getLogger(__name__)
PATIENCE = 5.0  # seconds for the last of the system's metrics
PARTS = {"training": "train", "validation": "validation", "test": "test"}  # as params call them, and as MLflow does
SHAPE = ("batch_size", "input_shape", "classes")
DIGITS = 16  # of the fingerprint: MLflow takes 36, and shows all of them
BATCH = 1000  # the most values that MLflow takes in one call


class RunPage:
    """Brings the page of one run after another up to date.

    Attributes:
        launched: id of the run that ``mlflow run`` made for this one, which shows its last values; empty without.
    """

    def __init__(self, client: Any) -> None:
        self._client, self.launched = client, ""
        self._described: tuple = ()
        self._has_data = ""

    def bring_up_to_date(self, record: Record, run_id: str) -> None:
        """Make the page of the MLflow run ``run_id`` show what is known of its record by now."""
        self._describe(record, run_id)
        self._show_data(record, run_id)
        if record.header.status == "FINISHED":
            self._show_last_values(record, run_id)

    def _describe(self, record: Record, run_id: str) -> None:
        """Write the description anew where there is more to say, unless somebody has written one, or below ours."""
        header = record.header
        given = str(header.tags.get(NOTE_TAG, ""))  # a study's run brings its own
        state = (record.id, header.status, len(header.iterations), len(header.tags), given)
        if state == self._described:
            return
        # With torch, which little else needs here.
        from wfn.runs.tracking.description import END, THIS_RUN, describe_run

        run = self._client.get_run(run_id)
        there = run.data.tags.get(NOTE_TAG, "")
        text = given.replace(THIS_RUN, run_id) or describe_run(record, run_id)
        if text and (not there or there.endswith(END)):
            self._client.set_tag(run_id, NOTE_TAG, text)
        if self.launched:  # by the name that the run has by now
            point(self._client, self.launched, run, run.info.run_name)
        self._described = state

    def _show_data(self, record: Record, run_id: str) -> None:
        """Show the parts of the data as inputs of the run, once they are known; what is there stays as it is."""
        if record.id != self._has_data and (inputs := data_inputs(record.header)):
            self._client.log_inputs(run_id, datasets=inputs)
            self._has_data = record.id

    def _show_last_values(self, record: Record, run_id: str) -> None:
        """Bring in under names of their own the last values of curves over iterations that have one before the method.

        What is logged twice is there once. A launched run gets all last values.
        """
        lines = record.metrics_from(0)
        before = {in_store(line["key"]) for line in lines}
        last = {line["key"]: line for line in lines if per_of(line, record.header) == ITERATION}
        ends = [line for key, line in last.items() if f"{BASELINE}/{key}" in before]
        for some in batches(ends, BATCH):
            self._client.log_batch(run_id, metrics=[metric(line, in_store(line["key"])) for line in some])
        if self.launched:
            show_values(self._client, self.launched, self._client.get_run(run_id).data.metrics)


def copy_files(client: Any, record: Record, run_id: str) -> Iterator[Path]:
    """Bring the files of a record into the MLflow run ``run_id``, and then look for them.

    Those that lead out of the folder are left out. Not all that answers for a server is one.

    Yields:
        Each, once the store has answered.

    Raises:
        StoreAwayError: the store took a file, but does not have all of it.
    """
    copied: defaultdict[str, dict[str, int]] = defaultdict(dict)  # folder below the record's files -> name -> bytes
    for path in sorted(record.files.rglob("*")):
        if leads_out(record.files, path):
            log.warning("left out: %s leads out of the run's folder", path)
            continue
        if not path.is_file() or is_partial(path):
            continue
        place = path.relative_to(record.files).parent.as_posix()
        folder = "" if place == "." else place
        client.log_artifact(run_id, str(path), folder or None)
        copied[folder][path.name] = path.stat().st_size
        yield path
    for folder, sizes in copied.items():
        there = {
            PurePosixPath(file.path).name: file.file_size for file in client.list_artifacts(run_id, folder or None)
        }
        for name, size in sizes.items():
            if there.get(name, -1) not in (size, None):  # not every store tells sizes
                raise StoreAwayError(f"the tracking store took {name} of run {record.id}, but has it not whole")


@contextmanager
def system_metrics(run_id: Callable[[], str]) -> Iterator[None]:
    """Log what the machine does meanwhile, where MLflow's own switch asks for it; a run is not lost for it.

    It goes to the store alone, under ``system/``: records do not have it.

    Args:
        run_id: gives the id of the MLflow run.
    """
    from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING as SWITCH

    monitor = None
    try:
        if SWITCH.get():
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            monitor = SystemMetricsMonitor(run_id(), resume_logging=True)
            monitor.start()
    except Exception as error:  # a value that is none, a store that is away, a package that is missing
        log.warning("no system metrics: %s", first_line(error))
    try:
        yield
    finally:
        if monitor:  # it may wait for a store that hangs
            ending = Thread(target=monitor.finish, daemon=True)
            ending.start()
            ending.join(PATIENCE)


def data_inputs(header: RunHeader) -> list[Any]:
    """The parts of the data as inputs for MLflow; none where the record does not know its fingerprint.

    Each is called by data set and part, and the fingerprint is that of all of them: it tells what was held back, too.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    params, name = header.params, str(header.settings.get("dataset", "unknown"))
    whole = str(params.get("data_sha256", ""))
    source = json.dumps({"uri": name, "sha256": whole})
    found = []
    for part, context in PARTS.items():
        number = params.get(f"{part}_batches")
        if not whole or not isinstance(number, int) or not number:
            continue
        profile = {"batches": number} | {key: params[key] for key in SHAPE if key in params}
        dataset = Dataset(f"{name} {context}", whole[:DIGITS], "local", source, profile=json.dumps(profile))
        found.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)]))
    return found


def metric(line: Mapping[str, Any], name: str) -> Any:
    """A line of a record's metrics as MLflow takes it, by that name."""
    from mlflow.entities import Metric

    return Metric(name, line["value"], line["timestamp"], line["step"])


def batches(items: list, size: int) -> Iterator[list]:
    """The items, ``size`` at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))
