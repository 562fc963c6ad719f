"""Layers whose weights lie in the memory of other parameters, in methods that treat layers as a whole."""

import pytest
import torch
from torch import nn

from tests.support import small_networks
from wfn.errors import UserError
from wfn.methods.deep_kmeans import DeepKMeans
from wfn.methods.kernel_quantisation import KernelQuantisation
from wfn.methods.lq_nets import LearnedBases
from wfn.methods.lsq import LearnedStepSizes

QUICK = {"epochs": 1, "learning_rate": 1e-3}
METHODS = {
    "lsq": LearnedStepSizes(iterations=1, **QUICK),
    "lqnets": LearnedBases(iterations=1, **QUICK),
    "kq": KernelQuantisation(index_bits=2, shares=(1.0,), **QUICK),
    "deep_kmeans": DeepKMeans(clusters=4, iterations=1, **QUICK),
}


class Banked(nn.Module):
    """A convolution whose kernels are what ``view`` makes of a bank of so many kernels."""

    def __init__(self, view, kernels=6):
        super().__init__()
        torch.manual_seed(0)
        self.bank = nn.Parameter(torch.randn(kernels, 6, 3, 3) * 0.1)
        self.first, self.between, self.last = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 6, 3), nn.Linear(6, 3)
        self.between.weight.data = view(self.bank.data)

    def forward(self, inputs):
        return self.last(self.between(self.first(inputs).relu()).relu().mean((2, 3)))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("view", "kernels"), [(lambda bank: bank[2:8], 9), (lambda bank: bank.transpose(0, 1), 6)])
def test_a_layer_whose_weight_is_a_part_or_another_view_is_refused(name, view, kernels):
    told = []
    with pytest.raises(
        UserError, match=rf"{name} treats layers as a whole, but between\.weight is .* of bank: "
    ) as refused:
        METHODS[name].compress(Banked(view, kernels), small_networks.data(), told.append)
    assert "\n" not in str(refused.value) and not told


@pytest.mark.parametrize("name", METHODS)
def test_one_that_has_all_of_it_is_treated(name):
    bank = METHODS[name].compress(Banked(lambda bank: bank), small_networks.data()).weights["bank"]
    if name == "lqnets":
        assert all(len(channel.unique()) <= 2**3 for channel in bank)
    else:
        assert len(bank.unique()) < len(bank.flatten()) / 2


def test_a_whole_network_is_quantised_whatever_its_layers_are():
    method = LearnedStepSizes(iterations=1, whole_network=True, quantise_activations=False, **QUICK)
    weights = method.compress(Banked(lambda bank: bank[2:8], 9), small_networks.data()).weights
    assert all(len(weight.unique()) <= 2**8 for weight in weights.values()) and len(weights["bank"].unique()) <= 2**3


class Autoencoder(nn.Module):
    """A decoder whose weight is the encoder's, transposed."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.encoder, self.decoder, self.last = (nn.Linear(*s) for s in ((72, 8), (8, 5), (5, 8), (8, 3)))
        self.decoder.weight.data = self.encoder.weight.data.t()

    def forward(self, inputs):
        return self.last(self.decoder(self.encoder(self.first(inputs.flatten(1)).relu()).relu()).relu())


@pytest.mark.parametrize("name", ["lsq", "lqnets", "kq"])
def test_a_weight_that_another_layer_has_as_it_stands_may_be_a_layers_transposed(name):
    model = Autoencoder()
    METHODS[name].compress(model, small_networks.data())
    assert torch.equal(model.decoder.weight, model.encoder.weight.t())
    assert all(len(channel.unique()) <= 2**6 for channel in model.encoder.weight)
    if name == "lsq":
        assert hasattr(model.decoder, "input_quantiser")
