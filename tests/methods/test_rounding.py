"""Rounding to powers of two without training, and the float network that is left alone."""

import math

import pytest
import torch
from torch import nn

from tests.support import small_networks
from wfn.errors import UserError
from wfn.methods.float_network import FloatNetwork
from wfn.methods.rounding import PowerOfTwoRounding


def nearest_power(weight, threshold):
    """One weight, by trying every exponent."""
    if abs(weight) < threshold:
        return 0.0
    exponent = min(range(-40, 40), key=lambda e: abs(math.log2(abs(weight)) - e))
    return math.copysign(2.0**exponent, weight)


@pytest.mark.parametrize("threshold", [2.0**-7, 0.1])
@pytest.mark.parametrize("kind", small_networks.KINDS)
def test_every_counted_weight_becomes_the_nearest_power_of_two(kind, threshold):
    before, model = dict(small_networks.build(kind).named_parameters()), small_networks.build(kind)
    quantised = PowerOfTwoRounding(threshold).compress(model, small_networks.data())
    after = dict(model.named_parameters())
    for name, weight in quantised.weights.items():
        expected = [nearest_power(w, threshold) for w in before[name].flatten().tolist()]
        assert weight.flatten().tolist() == expected, name
        assert torch.equal(after[name], weight)
    unused = before.keys() - quantised.weights.keys()
    assert all(torch.equal(before[name], after[name]) for name in unused)


def test_thresholds_and_weights_that_cannot_work_are_refused():
    for threshold in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="threshold must be from"):
            PowerOfTwoRounding(threshold)
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
    nn.init.constant_(model[1].bias, float("inf"))
    with pytest.raises(UserError, match=r"1\.bias holds NaN or infinity"):
        PowerOfTwoRounding().compress(model, small_networks.data())


@pytest.mark.parametrize("kind", small_networks.KINDS)
def test_the_float_network_keeps_every_bit(kind):
    before, model = small_networks.build(kind).state_dict(), small_networks.build(kind)
    quantised = FloatNetwork().compress(model, small_networks.data())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(torch.equal(before[name], weight) for name, weight in quantised.weights.items())
    assert not quantised.model.training
