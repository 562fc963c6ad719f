"""Bringing the record of a run into an MLflow tracking store.

The record is the truth and the store a copy of it, so a store that cannot be reached costs nothing: what is missing
there is brought in later, by the same code, and what is there already is not brought in twice.
"""

import getpass
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from wfn.errors import UserError
from wfn.runs.record import HEADER, Record, RunHeldError, alone, read_each
from wfn.runs.run_header import RunHeader, UnusableRecordError
from wfn.runs.tracking.copies import COPYING, is_copied, read_copy, remember_copy
from wfn.runs.tracking.launched import (
    DEFAULT,
    NAME_TAG,
    NOTE_TAG,
    PROCESS_TAG,
    experiment_of_launcher,
    point,
    take_launched,
)
from wfn.runs.tracking.logged_model import bring_in
from wfn.runs.tracking.mlflow_database import PATIENCE, StoreAwayError, artifacts_beside, opened, reached
from wfn.runs.tracking.names import in_store, name_of, names_so_far, per_of
from wfn.runs.tracking.run_page import BATCH, RunPage, batches, copy_files, metric, system_metrics
from wfn.system.files import held
from wfn.system.processes import is_dead, this_process

log = logging.getLogger(__name__)

PREFIX = "wfn."  # of the names of params in runs that an older version logged
RECORD_TAG = "wfn.record"
STARTED_TAG = "wfn.started"  # of the record: tells it from another one that has the same id
UNFIT = "INVALID_PARAMETER_VALUE"  # MLflow's code for a name or number that it does not take
NO_SUCH_RUN = ("RESOURCE_DOES_NOT_EXIST", UNFIT)  # its codes for an id that no run of its has, or could have
EARLIER = 3_600_000  # milliseconds that an older version's run may have begun before its record


class Store:
    """An MLflow tracking store: that of ``MLFLOW_TRACKING_URI``, or MLflow's local default.

    Raises:
        UserError: it cannot be reached.
    """

    def __init__(self, experiment: str) -> None:
        with opened() as self._client:
            self.uri = self._client.tracking_uri
            self.experiment = experiment_of_launcher() or self._experiment_id(experiment)
        self._page = RunPage(self._client)
        self.answered_at = time.monotonic()

    def open_run(self, started: int, settings: Mapping[str, Any]) -> str:
        """The id of a new MLflow run, to which a run that ``mlflow run`` has launched shows the way.

        Args:
            started: when its record begins, milliseconds since 1970.
            settings: of the run, by name; ``parent_run`` among them is the id of the MLflow run under which to nest it.
        """
        name = name_of(settings, {})
        tags = {PROCESS_TAG: this_process(), STARTED_TAG: str(started), NAME_TAG: name, **_source_tags()}
        tags |= _parent_tag(str(settings.get("parent_run", "")))
        with reached(at_start=True):  # with its tags at once: a process may die at any moment
            run = self._client.create_run(self.experiment, start_time=started, tags=tags)
            if not run.info.run_id:
                raise StoreAwayError("the tracking store gives a run no id: check MLFLOW_TRACKING_URI")
            self._show_the_way(run, name)
        return run.info.run_id

    def reopen_run(self, record: Record) -> None:
        """Go on with the MLflow run of a record."""
        with reached(at_start=True):
            run_id = self._run_id(record)
            self._show_the_way(self._client.get_run(run_id), name_of(record.header.settings, record.header.tags))
            self._client.update_run(run_id, status="RUNNING")
            self._client.set_tag(run_id, PROCESS_TAG, this_process())

    def _show_the_way(self, run: Any, title: str) -> None:
        self._page.launched = take_launched()
        if self._page.launched:
            point(self._client, self._page.launched, run, title)

    def give_up(self, run_id: str) -> None:
        """Mark an MLflow run FAILED for which no record could be begun."""
        self._end(run_id, "FAILED")

    def copy(self, record: Record) -> bool:
        """Bring in what the store lacks of the record's params, tags and metrics, and, once it has ended, its files.

        Returns:
            whether there was anything to bring in.

        Raises:
            UserError: the store cannot be reached; what it has by now is known, and the rest can follow. Or it has
                another record's run of this id.
        """
        record = Record(record.folder, record.header)  # as it is now: it may grow, and end, meanwhile
        if is_copied(record, self.uri):
            return False  # also where nothing can be written
        with reached(), held(record.folder / COPYING):  # or two at once would bring it in twice
            if is_copied(record, self.uri):
                return False
            done = read_copy(record, self.uri)
            run_id = done["run"] = self._run_id(record)
            if "experiment" not in done:
                done["experiment"] = self._client.get_run(run_id).info.experiment_id
            self._copy_header(record, run_id)
            for lines in batches(record.metrics_from(done.get("metrics", 0)), BATCH):
                self._client.log_batch(run_id, metrics=_metrics(lines, record.header))
                done["metrics"] = done.get("metrics", 0) + len(lines)
                remember_copy(record, self.uri, done)
            self._page.bring_up_to_date(record, run_id)
            if record.header.status != "RUNNING":
                self._copy_files(record, run_id)
                self._client.set_terminated(run_id, record.header.status, record.header.ended)
            if record.header.status == "FINISHED":  # last, for what else there is is not to wait for it
                bring_in(self._client, record, run_id)
            done["ended"] = record.header.ended
            remember_copy(record, self.uri, done)
        return True

    def finish_left_runs(self, parent: Path) -> None:
        """See to runs that are RUNNING in the store though their process died: they get the end that they had.

        That is what their record says where it lies in ``parent`` and nobody holds it, all of it brought in; or KILLED,
        where it does not say, or its process is one of this machine that is no more.
        """
        with reached(at_start=True):
            places = list({self.experiment, DEFAULT})  # where launched runs lie
            running = self._client.search_runs(places, "attributes.status = 'RUNNING'")
            began = time.monotonic()
            for run in running:
                tags = run.data.tags
                folder = parent / tags.get(RECORD_TAG, run.info.run_id)
                # What is damaged, or another's, is told of where it is asked for; it stops nobody else's run.
                with suppress(UserError, OSError):
                    if (folder / HEADER).is_file():
                        self._finish_left(run, folder)
                    elif is_dead(tags.get(PROCESS_TAG, "")):
                        self._end(run.info.run_id, "KILLED")
                    continue
                if time.monotonic() > began + PATIENCE:  # the store, too, may be what failed
                    return

    def finish_left(self, record: Record) -> None:
        """Mark the MLflow run of a record KILLED that says RUNNING though nobody holds it any more."""
        with suppress(RunHeldError), alone(record.folder):
            if Record.read(record.folder).header.status == "RUNNING":
                self._end(self._run_id(record), "KILLED")

    def _finish_left(self, run: Any, folder: Path) -> None:
        record = Record.read(folder)
        if not _is_copy(run, record):
            return
        with alone(folder):
            record = Record.read(folder)
            status = record.header.status
            if status == "RUNNING":
                self._end(run.info.run_id, "KILLED")
                return
            self.copy(record)
            self._end(run.info.run_id, status, record.header.ended)
            log.info("run %s had ended as %s: now the tracking store says so, too", record.id, status)

    def _end(self, run_id: str, status: str, when: int | None = None) -> None:
        with reached():
            self._client.set_terminated(run_id, status, when)

    def system_metrics(self, record: Record) -> AbstractContextManager[None]:
        """See :func:`wfn.runs.tracking.run_page.system_metrics`."""
        return system_metrics(lambda: self._run_id(record))

    def attach(self, record: Record) -> None:
        """Bring the record's files into its MLflow run as they are now, whether or not it goes on."""
        with reached():
            self._copy_files(record, self._run_id(record))

    def _copy_header(self, record: Record, run_id: str) -> None:
        from mlflow.entities import Param, RunTag

        there = self._client.get_run(run_id).data
        params = {key: str(value) for key, value in record.header.params.items()}
        # A store takes no second value, and a run of an older version has them under other names.
        params = [Param(k, v) for k, v in params.items() if not {k, PREFIX + k} & there.params.keys()]
        tags = {key: str(value) for key, value in record.header.tags.items() if key != NOTE_TAG}
        if there.tags.get(NAME_TAG) in names_so_far(record.header):  # else somebody has given it another one
            tags[NAME_TAG] = name_of(record.header.settings, record.header.tags)
        tags |= {RECORD_TAG: record.id, STARTED_TAG: str(record.header.started)}
        for some in batches(params, 100):
            self._client.log_batch(run_id, params=some)
        self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        self.answered_at = time.monotonic()

    def _copy_files(self, record: Record, run_id: str) -> None:
        for _ in copy_files(self._client, record, run_id):
            self.answered_at = time.monotonic()

    def _run_id(self, record: Record) -> str:
        """The MLflow run of a record: the one of the same id, one that an earlier copy made, or a new one."""
        if run := self._found(record.id):
            if not _is_copy(run, record):
                raise UnusableRecordError(
                    f"{record.folder} is not of the run {record.id} that the tracking store has: leave it out, or give "
                    "its record another id"
                )
            return run.info.run_id
        parent = str(record.header.settings.get("parent_run", ""))
        above = parent and self._found(parent)
        tags = {RECORD_TAG: record.id, STARTED_TAG: str(record.header.started)}
        tags |= {NAME_TAG: name_of(record.header.settings, record.header.tags)}
        tags |= _parent_tag(above.info.run_id if above else parent)
        run = self._client.create_run(self.experiment, start_time=record.header.started, tags=tags)
        return run.info.run_id

    def _found(self, record_id: str) -> Any:
        """The MLflow run of that record id, or the one that a copy made for it; None where there is neither."""
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_run(record_id)
        except MlflowException as error:
            if error.error_code not in NO_SUCH_RUN:  # it may be there, and a second one must not be made
                raise
            query = f"tags.`{RECORD_TAG}` = '{record_id}'"
            made = self._client.search_runs([self.experiment], query, max_results=1)
        return made[0] if made else None

    def _experiment_id(self, name: str) -> str:
        """The experiment of that name, made where it is missing: perhaps by another process, at the same moment."""
        from mlflow.exceptions import MlflowException

        if there := self._client.get_experiment_by_name(name):
            return there.experiment_id
        try:
            return self._client.create_experiment(name, artifact_location=artifacts_beside(self.uri))
        except MlflowException:
            if there := self._client.get_experiment_by_name(name):
                return there.experiment_id
            raise


def sync(folder: Path, experiment: str) -> Iterator[tuple[Record, bool]]:
    """Bring a record, or every record in a folder of them, into the tracking store.

    Of several records those that cannot be used are told of and left out.

    Yields:
        Each record, and whether anything of it was still missing there.

    Raises:
        UserError: there is no record, or the store cannot be reached; or, once all others are brought in, some records
            could not be.
    """
    records, left_out = read_each(folder, Record.read)
    store, known = Store(experiment), len(records) + len(left_out)
    # Parents first: a study's run starts before its trials' runs.
    for record in sorted(records, key=lambda record: record.header.started):
        try:
            yield record, _brought_in(store, record)
        except UserError as error:
            if known == 1 or not _is_of_the_record(error):
                raise
            log.warning("left out: %s", error)
            left_out.append(record.id)
    store.finish_left_runs(folder.parent if (folder / HEADER).is_file() else folder)
    if left_out:
        raise UserError(f"{len(left_out)} of {known} runs were not brought in: {', '.join(left_out)}")


def _is_of_the_record(error: UserError) -> bool:
    """Whether a record cannot be used, rather than the store."""
    return isinstance(error, UnusableRecordError) or getattr(error.__cause__, "error_code", "") == UNFIT


def _brought_in(store: Store, record: Record) -> bool:
    was_missing = store.copy(record)
    if record.header.status == "RUNNING":
        store.finish_left(record)
    return was_missing


def _is_copy(run: Any, record: Record) -> bool:
    """Whether an MLflow run is of this record, and not of another one that has the same id."""
    started = run.data.tags.get(STARTED_TAG)
    if started is not None:
        return started == str(record.header.started)
    return 0 <= record.header.started - run.info.start_time < EARLIER


def _metrics(lines: list[dict[str, Any]], header: RunHeader) -> list[Any]:
    return [metric(line, in_store(line["key"], per_of(line, header))) for line in lines]


def _source_tags() -> dict[str, str]:
    """Who made a run, and with what, as MLflow's own runs say it; the commit is among the params."""
    tags = {"mlflow.source.name": "wfn", "mlflow.source.type": "LOCAL"}
    with suppress(OSError, KeyError):  # a container may have no name for its user
        tags["mlflow.user"] = getpass.getuser()
    return tags


def _parent_tag(parent: str) -> dict[str, str]:
    return {"mlflow.parentRunId": parent} if parent else {}
