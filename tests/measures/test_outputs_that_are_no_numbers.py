"""A network whose outputs are NaN has no accuracy, and weights that no arithmetic holds are refused."""

import pytest
import torch

from tests.support import small_networks
from wfn.errors import UserError
from wfn.measures.common.predictions import predict
from wfn.methods.rounding import PowerOfTwoRounding

CPU = torch.device("cpu")


def network(value):
    """Gives ``value`` for the first class of every input."""
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(72, 3))
    model[1].bias.data[0] = value
    return model


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_outputs_that_are_no_numbers_are_an_error(value):
    with pytest.raises(UserError, match="outputs hold NaN or infinity"):
        predict(network(value), [small_networks.images(10)], CPU)


def test_a_class_that_is_ruled_out_is_none():
    scores = predict(network(-float("inf")), [small_networks.images(10)], CPU).scores
    assert (scores[:, 0] == -float("inf")).all() and scores[:, 1:].isfinite().all()


@pytest.mark.parametrize("value", [3.4e38, -(2.0**60)])
def test_weights_whose_squares_overflow_are_refused(value):
    with pytest.raises(UserError, match=r"must be below .* in magnitude, .* but 1\.bias holds"):
        PowerOfTwoRounding().compress(network(value), small_networks.data())
