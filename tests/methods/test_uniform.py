"""Rounding to a uniform grid without training."""

from math import floor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.support import small_networks
from wfn.codebooks.uniform_grid import round_to_grid
from wfn.data import as_data
from wfn.errors import UserError
from wfn.methods.uniform import UniformRounding


def nearest_multiples(value, step):
    """The multiples of ``step`` around ``value`` that are nearest: one, or two where it is in the middle."""
    around = [float(np.float32(k * step)) for k in range(floor(value / step) - 1, floor(value / step) + 3)]
    least = min(abs(value - multiple) for multiple in around)
    return [multiple for multiple in around if abs(value - multiple) <= least * (1 + 1e-6)]


@given(
    arrays(np.float32, st.integers(1, 40), elements=st.floats(-4, 4, width=32)), st.sampled_from([2**-6.5, 0.25, 0.1])
)
def test_every_value_goes_to_the_nearest_multiple(values, step):
    rounded = round_to_grid(values, step)
    assert rounded.dtype == np.float32 and not np.signbit(rounded[rounded == 0]).any()
    assert all(r in nearest_multiples(float(v), step) for v, r in zip(values, rounded.tolist(), strict=True))
    assert np.array_equal(round_to_grid(rounded, step), rounded)


@pytest.mark.parametrize("kind", small_networks.KINDS)
def test_every_counted_weight_is_rounded_and_no_other(kind):
    before, model = dict(small_networks.build(kind).named_parameters()), small_networks.build(kind)
    quantised = UniformRounding(step=2.0**-5).compress(model, small_networks.data())
    after = dict(model.named_parameters())
    for name, weight in quantised.weights.items():
        assert (weight - before[name]).abs().max() <= 2.0**-6
        assert torch.equal((weight * 2**5).round(), weight * 2**5)
        assert torch.equal(after[name], weight)
    assert all(torch.equal(before[name], after[name]) for name in before.keys() - quantised.weights.keys())
    assert not quantised.model.training


@pytest.mark.parametrize("as_list", [False, True])
def test_a_last_batch_of_one_input_has_no_statistics(as_list):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(72, 3), torch.nn.BatchNorm1d(3))
    inputs, labels = small_networks.images(count=129)
    batches = DataLoader(TensorDataset(inputs, labels), 64)
    data = as_data((list(batches), list(batches)) if as_list else (batches, batches))
    with pytest.raises(UserError, match="the last training batch holds one input"):
        UniformRounding(reestimate=True).compress(model, data)
    UniformRounding().compress(model, data)


@pytest.mark.parametrize("step", [0.0, -0.5, float("nan"), float("inf")])
def test_steps_that_cannot_work_are_refused(step):
    with pytest.raises(UserError, match=f"step must be from 1e-30 to 1e8, but got step={step}"):
        UniformRounding(step=step)


class WithHead(nn.Module):
    """A head that serves training alone, with statistics of its own."""

    def __init__(self):
        super().__init__()
        self.main, self.head = small_networks.build("convolutional"), nn.BatchNorm2d(2)
        nn.init.constant_(self.head.running_mean, 5)

    def forward(self, inputs):
        return (self.main(inputs), self.head(inputs)) if self.training else self.main(inputs)


def test_statistics_of_a_head_that_no_inference_reaches_stay_where_others_are_taken_anew():
    model = WithHead()
    before = model.main[1].running_mean.clone()
    UniformRounding(reestimate=True).compress(model, small_networks.data())
    assert model.head.running_mean.eq(5).all() and not torch.equal(model.main[1].running_mean, before)
