"""Networks that do not run on images in channels-last order."""

import logging

import pytest
import torch
from torch import nn

from tests.support import small_networks
from wfn import WeightFixing, as_data
from wfn.networks.own.layout import choose_layout, layout
from wfn.training.flat_weights import adopted, counted_weights

QUICK = WeightFixing(delta=0.05, shares=(0.5, 1.0), epochs=1, learning_rate=1e-3)


class Viewing(nn.Module):
    """Takes a view of what a convolution gives, of images or of what it has made images of itself."""

    def __init__(self, makes_images=False):
        super().__init__()
        torch.manual_seed(0)
        self.makes_images = makes_images
        self.convolution, self.last = nn.Conv2d(2, 4, 3), nn.Linear(64, 3)

    def forward(self, inputs):
        if self.makes_images:
            inputs = inputs.flatten(1).reshape(-1, 2, 6, 6)
        hidden = self.convolution(inputs).relu()
        return self.last(hidden.view(hidden.size(0), -1))


class ViewingInTraining(Viewing):
    """Does so in training alone, as some auxiliary heads do."""

    def forward(self, inputs):
        hidden = self.convolution(inputs).relu()
        return self.last(hidden.view(hidden.size(0), -1) if self.training else hidden.flatten(1))


@pytest.mark.parametrize("make", [Viewing, lambda: Viewing(makes_images=True), ViewingInTraining])
def test_all_of_it_runs_in_torchs_own_order_and_a_line_says_so(make, caplog):
    data = as_data(small_networks.data())
    with caplog.at_level(logging.INFO, "wfn"):
        model = adopted(make(), data)
    assert layout(model) is torch.contiguous_format
    assert "does not run in channels-last order" in caplog.text
    weights = counted_weights(model, data)
    assert model.convolution.weight.is_contiguous()
    weights.release()
    fixed = QUICK.compress(model, data)
    values = torch.cat([weight.flatten() for weight in fixed.weights.values()])
    assert len(values.unique()) < len(values) / 3


def test_it_gives_what_it_gives_with_a_flatten():
    class Flattening(Viewing):
        def forward(self, inputs):
            return self.last(self.convolution(inputs).relu().flatten(1))

    found, expected = (QUICK.compress(make(), small_networks.data()).weights for make in (Viewing, Flattening))
    share = sum(float((found[name] == expected[name]).float().sum()) for name in found) / 275
    assert share > 0.9  # an order of sums apart


def test_a_network_that_runs_is_left_as_it_was():
    model = small_networks.build("convolutional")
    before = {name: (value.data_ptr(), value.stride()) for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    choose_layout(model, small_networks.images(4)[0])
    assert layout(model) is torch.channels_last
    assert {name: (value.data_ptr(), value.stride()) for name, value in model.state_dict().items()} == before
    assert torch.equal(torch.get_rng_state(), state)


def test_where_it_runs_in_neither_order_nothing_is_noted():
    model = Viewing()
    choose_layout(model, torch.zeros(2, 5, 6, 6))
    assert layout(model) is torch.channels_last
