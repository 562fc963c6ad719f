"""Reading runs from the MLflow tracking store."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from reports.evidence.readings import (
    Run,
    is_of_iterations,
    iterations,
    read_codebook,
    read_outcomes,
)
from reports.evidence.uncertainty_files import COLUMNS, read_table
from wfn.errors import UserError, first_line
from wfn.measures.evaluation.outcomes import OUTCOMES
from wfn.runs.record import CODEBOOK
from wfn.runs.tracking.launched import experiment_of_launcher
from wfn.runs.tracking.mlflow_database import reached
from wfn.runs.tracking.mlflow_store import PREFIX, RECORD_TAG
from wfn.runs.tracking.names import in_record

log = logging.getLogger("wfn.reports.store")


def read_store(experiment: str, filter_text: str) -> list[Run]:
    """The runs that this project logged to an experiment. Nothing is changed there.

    Args:
        experiment: its name; empty is that of ``mlflow run``, else "wfn".
        filter_text: which of its runs, in MLflow's search syntax; empty is all.

    Raises:
        UserError: the store cannot be read, has no such experiment, or no such runs in it.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with reached() as client:
        experiment_id = _experiment_id(client, experiment)
        runs, page = [], None
        while page != "":
            with _told_of(filter_text):
                found = client.search_runs([experiment_id], filter_text, page_token=page)
            runs += _readable(client, [run for run in found if RECORD_TAG in run.data.tags])
            page = found.token or ""
    if not runs:
        which = f" that the filter {filter_text!r} lets through" if filter_text else ""
        raise UserError(
            f"experiment {experiment or experiment_id!r} of {client.tracking_uri} has no runs{which}: run "
            "'wfn' first, or name a folder of runs by --runs"
        )
    return runs


@contextmanager
def _told_of(filter_text: str) -> Iterator[None]:
    """Turn what MLflow says of a filter that it does not understand into one line."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if not filter_text or error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        raise UserError(
            f"MLflow cannot search by the filter {filter_text!r} ({first_line(error)}): write one such as "
            "\"tags.dataset = 'cifar10'\""
        ) from error


def _readable(client, found: Iterable[Any]) -> list[Run]:
    """The runs; those with which no report can be made are told of, and left out."""
    runs = []
    for run in found:
        try:
            runs.append(_run(client, run))
        except UserError as error:
            log.warning("left out: %s", error)
    return runs


def _experiment_id(client, name: str) -> str:
    launched = experiment_of_launcher()
    if launched and not name:  # what is asked for goes before what mlflow run has set
        return launched
    name = name or "wfn"
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        uri = client.tracking_uri
        raise UserError(f"the tracking store {uri} has no experiment {name!r}: name another by --experiment")
    return experiment.experiment_id


def _run(client, run) -> Run:
    params = {key: value for key, value in run.data.params.items() if not key.startswith(PREFIX)}
    params |= {key.removeprefix(PREFIX): run.data.params[key] for key in run.data.params if key.startswith(PREFIX)}
    by_age = sorted(run.data.metrics, key=lambda name: ("/" in name, name))  # an older version's names have no group
    names = {name: key for name in by_age if (key := in_record(name))}
    history = [
        (names[name], metric.step, metric.value)
        for name in names
        if is_of_iterations(names[name])
        for metric in client.get_metric_history(run.info.run_id, name)
    ]
    return Run(
        id=run.data.tags[RECORD_TAG],
        status=run.info.status,
        started=run.info.start_time,
        params=params,
        tags=dict(run.data.tags),
        metrics={key: run.data.metrics[name] for name, key in names.items()},
        iterations=iterations(history),
        codebook=_file(client, run.info.run_id, CODEBOOK, read_codebook) or (),
        tables={name: rows for name in COLUMNS if (rows := _file(client, run.info.run_id, f"{name}.csv", read_table))},
        outcomes=_file(client, run.info.run_id, OUTCOMES, read_outcomes),
    )


def _file(client, run_id: str, name: str, read: Callable[[Path], Any]) -> Any:
    """What ``read`` makes of a file that a run left; None where it left none of that name."""
    if name not in {file.path for file in client.list_artifacts(run_id)}:
        return None
    with TemporaryDirectory() as folder:
        return read(Path(client.download_artifacts(run_id, name, folder)))
