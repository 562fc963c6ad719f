"""A run in MLflow that logs what a method tells; its metrics are called as those of runs from the command line."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING

from torch import Tensor, nn

from wfn.data import Data
from wfn.interface import Epoch, Event, Iteration, Quantised
from wfn.measures import measure
from wfn.measures.common.task_scores import task_scores
from wfn.methods.observers.metric_groups import BASELINE, EPOCH, FINAL, ITERATION, in_group
from wfn.networks.forward_pass import ForwardPass
from wfn.training.flat_weights import traced

if TYPE_CHECKING:
    from wfn.methods._method import Method


class MlflowRun:
    """Logs to the MLflow run that is active."""

    def __init__(self, method: "Method", model: nn.Module, data: Data, forward_pass: ForwardPass) -> None:
        """Log the measures of ``model``, which the method has not touched yet."""
        self._method, self._data, self._forward_pass = method, data, forward_pass
        parameters = dict(model.named_parameters())
        weights = {name: parameters[name].detach().cpu() for name in forward_pass.uses}
        self._log(BASELINE, model, weights)

    def observe(self, event: Event) -> None:
        """Log the scores of epochs and iterations."""
        import mlflow

        match event:
            case Epoch():
                step = (event.iteration - 1) * self._method.epochs + event.epoch
                mlflow.log_metrics(in_group(EPOCH, event.scores), step)
            case Iteration() if event.number:
                values = dict(event.scores) | measure(event.weights, self._forward_pass, every_iteration=True)
                mlflow.log_metrics(in_group(ITERATION, values), event.number)

    def finish(self, quantised: Quantised) -> None:
        """Log the measures of what the method gave back."""
        self._log(FINAL, quantised.model, quantised.weights)

    def _log(self, group: str, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
        import mlflow

        device = next(model.parameters()).device
        values = measure(weights, self._forward_pass) | task_scores(model, self._data.task, self._data.test, device)
        mlflow.log_metrics(in_group(group, {name: value for name, value in values.items() if value is not None}))


@contextmanager
def tracked(method: "Method", model: nn.Module, data: Data) -> Iterator[MlflowRun]:
    """Log to the active MLflow run, or to a new one, the method's options first."""
    import mlflow

    run = mlflow.active_run()
    options = {field.name: getattr(method, field.name) for field in fields(method)}
    with ExitStack() as begun:
        if not run:
            begun.enter_context(mlflow.start_run(run_name=method.label))
        mlflow.log_params({"method": method.name, **options})
        yield MlflowRun(method, model, data, traced(model, data))
