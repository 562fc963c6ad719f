"""What listens to a method during a run: it measures each iteration, writes down what is told, and shows it."""

import logging
from collections.abc import Mapping

import torch
from torch import nn

from wfn.interface import Epoch, Event, Iteration, Quantised, Step
from wfn.measures import quantities
from wfn.measures.common.predictions import Predictions
from wfn.measures.evaluation.measured_network import measured_network
from wfn.methods.observers.metric_groups import by_epoch, with_vanished_orders
from wfn.methods.observers.step_bar import StepBar
from wfn.networks.own.state import tensors_of
from wfn.runs.lifecycle import RunHandle
from wfn.runs.workload import Workload
from wfn.system.fingerprint import by_name, fingerprint
from wfn.tasks.quantity import Quantity
from wfn.tasks.task import Task

log = logging.getLogger(__name__)
Measures = dict[str, float | None]


class RunProgress:
    """What a person at the terminal sees of a run: a bar over all steps of all iterations.

    Where the output is a file or a pipe, a line for each epoch takes its place. Of several ranks
    (:mod:`wfn.system.ranks`) only the first has a bar.
    """

    def __init__(self, iterations: int, epochs: int, score: Quantity) -> None:
        self._iterations, self._epochs, self._score = iterations, epochs, score
        self._unit = " %" if "(%)" in score.title else ""
        self._bar = StepBar(iterations, epochs)

    def step(self, step: Step) -> None:
        """Move the bar."""
        self._bar.step(step)

    def epoch(self, epoch: Epoch) -> None:
        """Tell of an epoch, where there is no bar."""
        if self._bar.hidden:
            scores = epoch.scores
            value = scores.get(f"held_back_{self._score.name}")
            held_back = "" if value is None else f", held back {self._score.text(value)}{self._unit}"
            log.info(
                f"iteration {epoch.iteration}/{self._iterations} epoch {epoch.epoch}/{self._epochs}: "
                f"loss {scores['train_loss']:.4f}{held_back}, {scores['training_seconds']:.1f} s"
            )

    def iteration(self, number: int, scores: Mapping[str, float]) -> None:
        """Tell what an iteration came to."""
        name = "baseline" if number == 0 else f"iteration {number}/{self._iterations}"
        fixed = f", {100 * scores['share_fixed']:.2f} % fixed" if "share_fixed" in scores else ""
        score = f"{self._score.text(scores[self._score.name])}{self._unit}"
        log.info(
            f"{name}: {self._score.name} {score}, {scores['unique_params']:,} unique values, "
            f"{scores['entropy_bits']:.2f} bits{fixed}"
        )
        values = {"unique": scores["unique_params"], "bits": f"{scores['entropy_bits']:.2f}"}
        self._bar.note(**{self._score.name: self._score.text(scores[self._score.name]), **values})

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


class Observer:
    """Writes down what a method tells, measures every iteration on the test images, and moves the progress bar.

    Attributes:
        rows: what is known of each iteration, by its number; also of those before a run was cut off.
    """

    def __init__(self, workload: Workload, handle: RunHandle, progress: RunProgress, epochs: int) -> None:
        self._workload, self._handle, self._progress, self._epochs = workload, handle, progress, epochs
        self.rows: dict[int, Measures] = dict(handle.record.header.iterations)
        self._from_before = set(self.rows)  # measured before this process went on, perhaps on another device
        self._measured_state = ""
        self._last_measured: Measures = {}

    def __call__(self, event: Event) -> None:
        """Take one event."""
        match event:
            case Step():
                self._progress.step(event)
            case Epoch():
                scores = {by_epoch(name): value for name, value in event.scores.items()}
                self._progress.epoch(event)
                self._handle.log(scores, step=(event.iteration - 1) * self._epochs + event.epoch, per="epoch")
            case Iteration() if event.number:
                row = with_vanished_orders(event.scores, self.rows.values()) | self._measured(event)
                self.rows[event.number] = {"iteration": event.number} | row
                self._from_before.discard(event.number)
                self._progress.iteration(event.number, row)
                self._handle.log(telling_first(row, self._workload.data.task), step=event.number, per="iteration")
                self._handle.set(iterations=dict(self.rows))

    def last_row(self, number: int, quantised: Quantised) -> Measures:
        """What is measured of the last iteration, or of the network where there was none.

        One from before this process went on is measured anew: it stands beside outputs that are taken now, and another
        device gives other last digits.
        """
        if number in self.rows and number not in self._from_before:
            return self.rows[number]
        row = measured_row(self._workload, quantised.model, quantised.weights)[0]
        if number in self.rows:
            row = self.rows[number] | {name: value for name, value in row.items() if name != "evaluation_seconds"}
            self.rows[number] = row
            told = {name: value for name, value in row.items() if name != "iteration"}
            self._handle.log(telling_first(told, self._workload.data.task), step=number, per="iteration", anew=True)
            self._handle.set(iterations=dict(self.rows))
        return row

    def _measured(self, event: Iteration) -> Measures:
        """What is measured of a network; one that an iteration left as it was, untrained, is not measured again."""
        state = fingerprint(by_name(tensors_of(event.model)))
        if state == self._measured_state:
            return self._last_measured | {"evaluation_seconds": 0.0}
        self._measured_state = state
        self._last_measured = measured_row(self._workload, event.model, event.weights)[0]
        return self._last_measured


def measured_row(
    workload: Workload, model: nn.Module, weights: Mapping[str, torch.Tensor]
) -> tuple[Measures, Predictions | None]:
    """What is measured of every iteration: :func:`wfn.measures.evaluation.measured_network.measured_network`."""
    row, predictions = measured_network(model, weights, workload.data, workload.forward_pass, workload.device)
    return dict(row), predictions


def telling_first(measured: Measures, task: Task) -> Measures:
    """The same in the order in which MLflow is to show it: first what a run's summary shows, the task's before all."""
    shown = [*task.quantities, *quantities().values()]
    first = dict.fromkeys(quantity.name for quantity in shown if quantity.summary and quantity.name in measured)
    return {name: measured[name] for name in first} | measured
