"""Reading runs from the MLflow tracking store."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from reports.runs import CODEBOOK, Run, is_of_iterations, iterations, read_codebook
from wfn.errors import UserError
from wfn.tracking import PREFIX, RECORD_TAG, Store


class RunReader(Store):
    """An MLflow tracking store, to be read from only: an experiment that is not there is an error.

    Args:
        experiment: its name; empty is that of ``mlflow run``, else "wfn".

    Raises:
        UserError: the store cannot be reached, or has no such experiment.
    """

    def __init__(self, experiment: str) -> None:
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        super().__init__(experiment or "wfn")

    def runs(self, filter_text: str) -> list[Run]:
        """The runs that this project logged there and that ``filter_text`` (MLflow's search syntax) lets through."""
        with self._reached():
            found, page = [], None
            while True:
                some = self._client.search_runs([self.experiment], filter_text, page_token=page)
                found += [self._run(run) for run in some if RECORD_TAG in run.data.tags]
                page = some.token
                if not page:
                    return found

    def _experiment_id(self, name: str) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            raise UserError(f"the tracking store {self.uri} has no experiment {name!r}: name another by --experiment")
        return experiment.experiment_id

    def _run(self, run) -> Run:
        params = {key: value for key, value in run.data.params.items() if not key.startswith(PREFIX)}
        params |= {key.removeprefix(PREFIX): run.data.params[key] for key in run.data.params if key.startswith(PREFIX)}
        history = [
            (key, metric.step, metric.value)
            for key in filter(is_of_iterations, sorted(run.data.metrics))
            for metric in self._client.get_metric_history(run.info.run_id, key)
        ]
        return Run(
            id=run.data.tags[RECORD_TAG],
            status=run.info.status,
            started=run.info.start_time,
            params=params,
            tags=dict(run.data.tags),
            metrics=dict(run.data.metrics),
            iterations=iterations(history),
            codebook=self._codebook(run.info.run_id),
        )

    def _codebook(self, run_id: str):
        if CODEBOOK not in {file.path for file in self._client.list_artifacts(run_id)}:
            return ()
        with TemporaryDirectory() as folder:
            return read_codebook(Path(self._client.download_artifacts(run_id, CODEBOOK, folder)))


def read_store(experiment: str, filter_text: str) -> list[Run]:
    """The runs of an experiment.

    Raises:
        UserError: the store cannot be read, has no such experiment, or no such runs in it.
    """
    launched = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if experiment:  # what is asked for goes before what mlflow run has set
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
    try:
        reader = RunReader(experiment)
        runs = reader.runs(filter_text)
    finally:
        if launched is not None:
            os.environ["MLFLOW_EXPERIMENT_ID"] = launched
    if not runs:
        which = f" that the filter {filter_text!r} lets through" if filter_text else ""
        raise UserError(
            f"experiment {experiment or reader.experiment!r} of {reader.uri} has no runs{which}: run 'python -m wfn' "
            "first, or name a folder of runs by --runs"
        )
    return runs
