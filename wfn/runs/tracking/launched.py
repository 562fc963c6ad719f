"""The run that ``mlflow run`` makes before this program starts: it shows where the run of this program is.

``mlflow run`` makes its run in the experiment that it was told, without ``--experiment-name`` in "Default", with the
parameters as they were typed. MLflow can neither move a run nor change a parameter. So this program makes a run of its
own, where its other runs are and with each setting as it was resolved; the launched one gets a name, a link to it and,
at the end, what was measured, for programs that know the launched run alone.
"""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wfn.methods.observers.metric_groups import BASELINE, FINAL
from wfn.runs.tracking.mlflow_database import StoreAwayError, reached
from wfn.system.processes import this_process

log = logging.getLogger(__name__)
RUN_ID = "MLFLOW_RUN_ID"  # of the environment: MLflow sets it for the command that it starts
DEFAULT = "0"  # id of the experiment in which runs lie for which none was named
NAME_TAG, NOTE_TAG = "mlflow.runName", "mlflow.note.content"
PROCESS_TAG = "wfn.process"
RUN_TAG = "wfn.run"  # of a launched run: the id of the run that it shows
SHOWN = (f"{BASELINE}/", f"{FINAL}/")  # how the names of the metrics begin that it shows


def experiment_of_launcher() -> str:
    """The id of the experiment that whoever launched this program has named; empty where none was."""
    given = os.environ.get("MLFLOW_EXPERIMENT_ID", "")
    return "" if given == DEFAULT else given


def take_launched() -> str:
    """The id of the run that was launched for this program; empty without. Processes started later do not see it."""
    return os.environ.pop(RUN_ID, "")


def point(client: Any, launched: str, run: Any, title: str) -> None:
    """Have the ``launched`` run show the way to ``run``, an MLflow run, which goes by ``title``."""
    place = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    tags = {
        PROCESS_TAG: this_process(),
        RUN_TAG: run.info.run_id,
        NAME_TAG: f"launched: {title}",
        NOTE_TAG: f"All of this run is in [{title}]({place}), run `{run.info.run_id}`. This one shows how it was "
        "launched and, once it is finished, its last values.",
    }
    for name, value in tags.items():
        client.set_tag(launched, name, value)


def show_values(client: Any, launched: str, values: Mapping[str, float]) -> None:
    """Give the ``launched`` run the last values of the networks before and after, by their names in MLflow."""
    from mlflow.entities import Metric

    names = [name for name in values if name.startswith(SHOWN)]
    client.log_batch(launched, metrics=[Metric(name, values[name], int(time.time() * 1000), 0) for name in names])


def leave_files(launched: str, paths: Sequence[Path], title: str, note: str) -> None:
    """Leave files and folders in the ``launched`` run, for what makes no run of its own, as a report.

    A store that is away is told of; the files are where they are.
    """
    try:
        with reached() as client:
            for path in paths:
                if path.is_dir():
                    client.log_artifacts(launched, str(path), path.name)
                else:
                    client.log_artifact(launched, str(path))
            client.set_tag(launched, NAME_TAG, title)
            client.set_tag(launched, NOTE_TAG, note)
    except StoreAwayError as error:
        log.warning("%s; the files are not in the run of mlflow run", error)
