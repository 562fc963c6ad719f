"""What a method tells, for those who call it as a library: as a bar, and as a run in MLflow."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from tqdm import tqdm

from wfn.data import Data
from wfn.interface import Epoch, Event, Iteration, Observe, Quantised, Step
from wfn.measures import measure
from wfn.measures.common.task_scores import task_scores
from wfn.networks.forward_pass import ForwardPass
from wfn.system import ranks
from wfn.training.flat_weights import traced

if TYPE_CHECKING:
    from wfn.methods._method import Method


class StepBar:
    """A bar over all steps of all iterations; of several ranks (:mod:`wfn.system.ranks`) only the first has one.

    Attributes:
        hidden: whether there is none by now: nothing has been told, or the output is no terminal.
    """

    def __init__(self, iterations: int, epochs: int) -> None:
        self._iterations, self._epochs = iterations, epochs
        self._bar: tqdm | None = None

    @property
    def hidden(self) -> bool:
        return self._bar is None or self._bar.disable

    def step(self, step: Step) -> None:
        """Move it."""
        total = self._iterations * self._epochs * step.steps
        if self._bar is None:
            self._bar = tqdm(total=total, unit="step", disable=ranks.this() > 0 or None, leave=False)
        self._bar.total = total  # a first stage may take a part of the data alone
        self._bar.set_description(
            f"iteration {step.iteration}/{self._iterations} epoch {step.epoch}/{self._epochs}", refresh=False
        )
        done = ((step.iteration - 1) * self._epochs + step.epoch - 1) * step.steps + step.step
        self._bar.update(done - self._bar.n)

    def note(self, **texts: Any) -> None:
        """Show something beside it."""
        if self._bar is not None:
            self._bar.set_postfix(texts)

    def close(self) -> None:
        """Take it away."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def shown(iterations: int, epochs: int) -> Iterator[Observe]:
    """A bar that moves by what it is told, with the last scores beside it; at the end it is gone."""
    bar = StepBar(iterations, epochs)

    def tell(event: Event) -> None:
        match event:
            case Step():
                bar.step(event)
            case Epoch() | Iteration():
                scores = {name: f"{value:.4g}" for name, value in event.scores.items() if not name.endswith("seconds")}
                bar.note(**scores)

    try:
        yield tell
    finally:
        bar.close()


class _MlflowRun:
    """Logs to the MLflow run that is active."""

    def __init__(self, method: "Method", model: nn.Module, data: Data, forward_pass: ForwardPass) -> None:
        self._method, self._data, self._forward_pass = method, data, forward_pass
        parameters = dict(model.named_parameters())
        weights = {name: parameters[name].detach().cpu() for name in forward_pass.uses}
        self._log("baseline", model, weights)

    def observe(self, event: Event) -> None:
        """Log the scores of epochs and iterations."""
        import mlflow

        match event:
            case Epoch():
                step = (event.iteration - 1) * self._method.epochs + event.epoch
                mlflow.log_metrics({f"epoch/{name}": value for name, value in event.scores.items()}, step)
            case Iteration() if event.number:
                values = dict(event.scores) | measure(event.weights, self._forward_pass, every_iteration=True)
                mlflow.log_metrics({f"iteration/{name}": value for name, value in values.items()}, event.number)

    def finish(self, quantised: Quantised) -> None:
        """Log the measures of what the method gave back."""
        self._log("final", quantised.model, quantised.weights)

    def _log(self, group: str, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
        import mlflow

        device = next(model.parameters()).device
        values = measure(weights, self._forward_pass) | task_scores(model, self._data.task, self._data.test, device)
        mlflow.log_metrics({f"{group}/{name}": value for name, value in values.items() if value is not None})


@contextmanager
def tracked(method: "Method", model: nn.Module, data: Data) -> Iterator[_MlflowRun]:
    """Log to the active MLflow run, or to a new one; its names of metrics are those of runs from the command line."""
    import mlflow

    run = mlflow.active_run()
    options = {field.name: getattr(method, field.name) for field in fields(method)}
    with ExitStack() as begun:
        if not run:
            begun.enter_context(mlflow.start_run(run_name=method.label))
        mlflow.log_params({"method": method.name, **options})
        yield _MlflowRun(method, model, data, traced(model, data))
