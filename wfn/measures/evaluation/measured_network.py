"""All that is measured of one network on held-back and test inputs, and what changed from one network to another."""

from collections.abc import Mapping
from time import perf_counter

import torch
from torch import Tensor, nn

from wfn.data.dataset import Data
from wfn.measures import measure, measure_outputs
from wfn.measures.common.kinds import Values
from wfn.measures.common.predictions import Predictions, predict
from wfn.measures.evaluation.task_scores import task_scores
from wfn.measures.evaluation.temperature import fitted_temperature, named_as_calibrated, scaled
from wfn.networks.forward_pass import ForwardPass
from wfn.tasks.classification import Classification

UNCOMPARED = {"weights", "evaluation_seconds"}


def measured_network(
    model: nn.Module, weights: Mapping[str, Tensor], data: Data, forward_pass: ForwardPass, device: torch.device
) -> tuple[Values, Predictions | None]:
    """What is measured of a network on the test inputs, and of its weights at every iteration.

    Several ranks (:mod:`wfn.system.ranks`) call this together.

    Args:
        model: the network.
        weights: parameter name -> the values that it computes with, float32.
        data: on whose test part, and held-back part where there is one.
        forward_pass: of the network.
        device: where the network is.

    Returns:
        name -> value; and the predictions on the test part, where each input is of one class.
    """
    begin, task = perf_counter(), data.task
    row = measure(weights, forward_pass, every_iteration=True)
    if not isinstance(task, Classification):
        row = task_scores(model, task, data.test, device) | row
        if data.validation:
            held_back = task_scores(model, task, data.validation, device)
            row[f"held_back_{task.score.name}"] = held_back[task.score.name]
        return row | {"evaluation_seconds": perf_counter() - begin}, None
    predictions = predict(model, data.test, device)
    row = measure_outputs(predictions) | row
    if data.validation:  # what a search may look at; the test images are for reporting
        held_back = predict(model, data.validation, device)
        row["held_back_top1"] = measure_outputs(held_back)["top1"]
        temperature = fitted_temperature(held_back)
        row |= named_as_calibrated(measure_outputs(scaled(predictions, temperature)), temperature)
    return row | {"evaluation_seconds": perf_counter() - begin}, predictions


def changes(before: Mapping[str, float | None], after: Mapping[str, float | None]) -> Values:
    """``after`` less ``before``, of everything that both have, but for what tells nothing so."""
    return {
        name: there - value
        for name, value in before.items()
        if name not in UNCOMPARED and value is not None and (there := after.get(name)) is not None
    }
