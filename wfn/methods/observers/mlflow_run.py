"""A run in MLflow that logs what a method tells; its metrics are called as those of runs from the command line."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING

from torch import Tensor, nn

from wfn.data import Data
from wfn.interface import Epoch, Event, Iteration, Quantised
from wfn.measures import compared, measure
from wfn.measures.common.kinds import Values
from wfn.measures.evaluation.measured_network import changes, measured_network
from wfn.methods._reading import numbers_text
from wfn.methods.observers.metric_groups import (
    BASELINE,
    CHANGE,
    EPOCH,
    FINAL,
    ITERATION,
    by_epoch,
    in_group,
    with_vanished_orders,
)
from wfn.networks.forward_pass import ForwardPass
from wfn.system import ranks
from wfn.training.flat_weights import traced

if TYPE_CHECKING:
    from wfn.methods._method import Method


class MlflowRun:
    """Logs to the MLflow run that is active; of several ranks all measure, and the first logs.

    The test inputs are gone through before and after the method, not after each of its iterations.
    """

    def __init__(self, method: "Method", model: nn.Module, data: Data, forward_pass: ForwardPass) -> None:
        """Log the measures of ``model``, which the method has not touched yet."""
        self._method, self._data, self._forward_pass = method, data, forward_pass
        parameters = dict(model.named_parameters())
        weights = {name: parameters[name].detach().cpu() for name in forward_pass.uses}
        self._of_weights = measure(weights, forward_pass)
        self._baseline = self._of_weights | compared(self._of_weights, self._of_weights) | self._row(model, weights)
        self._scores: list[Mapping[str, float]] = []
        _log(BASELINE, self._baseline, 0)

    def observe(self, event: Event) -> None:
        """Log the scores of epochs and iterations."""
        match event:
            case Epoch():
                step = (event.iteration - 1) * self._method.most_epochs + event.epoch
                _log(EPOCH, {by_epoch(name): value for name, value in event.scores.items()}, step)
            case Iteration() if event.number:
                values = with_vanished_orders(event.scores, self._scores)
                values |= measure(event.weights, self._forward_pass, every_iteration=True)
                self._scores.append(event.scores)
                _log(ITERATION, values, event.number)

    def finish(self, quantised: Quantised) -> None:
        """Log the measures of what the method gave back, and what changed."""
        final = measure(quantised.weights, self._forward_pass, self._of_weights)
        final |= self._row(quantised.model, quantised.weights) | dict(quantised.scores)
        for group, values in ((FINAL, final), (CHANGE, changes(self._baseline, final))):
            _log(group, values, self._method.iterations)

    def _row(self, model: nn.Module, weights: Mapping[str, Tensor]) -> Values:
        device = next(model.parameters()).device
        return measured_network(model, weights, self._data, self._forward_pass, device)[0]


def _log(group: str, values: Mapping[str, float | None], step: int) -> None:
    if ranks.this() == 0:
        import mlflow

        known = {name: value for name, value in values.items() if value is not None}
        mlflow.log_metrics(in_group(group, known), step)


@contextmanager
def tracked(method: "Method", model: nn.Module, data: Data) -> Iterator[MlflowRun]:
    """Log to the active MLflow run, or to a new one, the method's options first.

    Options, and the hashes of the files that the method reads, are called and written as a run's parameters.
    """
    with ExitStack() as begun:
        if ranks.this() == 0:
            import mlflow

            if not mlflow.active_run():
                begun.enter_context(mlflow.start_run(run_name=method.label))
            mlflow.log_params({"method": method.name, **_options(method), **method.hashes()})
        yield MlflowRun(method, model, data, traced(model, data))


def _options(method: "Method") -> dict[str, object]:
    """By name; numbers as one text."""
    values = {field.name: getattr(method, field.name) for field in fields(method)}
    return {name: numbers_text(value) if isinstance(value, tuple) else value for name, value in values.items()}
