"""What is measured of a network: test inputs are for reporting, held-back ones for whatever looks for something."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.support.separate_parts import parts, percent_correct, separate
from wfn.data import as_data
from wfn.measures.common.predictions import predict
from wfn.measures.evaluation.measured_network import measured_network
from wfn.measures.evaluation.temperature import fitted_temperature
from wfn.networks.forward_pass import trace

CPU = torch.device("cpu")


def measured(model, data):
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    return measured_network(model, weights, data, trace(model, parts()[0][0][:1]), CPU)[0]


def test_accuracy_and_temperature_that_a_search_may_look_at_are_of_images_held_back():
    torch.manual_seed(0)
    data, model = separate(), nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for inputs, labels in [*data.train] * 5:  # so that a temperature is worth looking for
        functional.cross_entropy(model(inputs), labels).backward()
        optimiser.step()
        optimiser.zero_grad()
    row, (_, validation, test) = measured(model, data), parts()
    right = [percent_correct(model, part) for part in (validation, test)]
    assert [row["held_back_top1"], row["top1"]] == pytest.approx(right) and right[0] != right[1]
    temperatures = [fitted_temperature(predict(model, part, CPU)) for part in (data.validation, data.test)]
    assert row["calibration_temperature"] == temperatures[0] != temperatures[1]


def test_the_score_of_another_task_is_of_inputs_held_back_as_well():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 1))
    train, validation, test = ((inputs, labels.float()) for inputs, labels in parts())
    row = measured(model, as_data((train, validation, test), task="regression"))
    with torch.no_grad():
        errors = [functional.mse_loss(model(inputs)[:, 0], labels).sqrt() for inputs, labels in (validation, test)]
    assert [row["held_back_rmse"], row["rmse"]] == pytest.approx([float(error) for error in errors])
    assert row["held_back_rmse"] != row["rmse"]
