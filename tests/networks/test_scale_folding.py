"""Scales folded into the batch-norm behind a layer: which pairs there are, and that the function stays."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from wfn import networks
from wfn.errors import UserError
from wfn.networks.scale_folding import fold, foldable_pairs


def lively(model):
    """Running statistics as training leaves them, no two channels alike."""
    generator = torch.Generator().manual_seed(1)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and layer.running_var is not None:
            layer.running_mean.normal_(generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(layer.weight, 0.5, 2, generator=generator)
    return model.eval()


def chain(*layers):
    torch.manual_seed(0)
    return lively(nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(3)))


class Twice(nn.Module):
    """One convolution used at two places."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn1, self.bn2 = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.BatchNorm2d(2)

    def forward(self, inputs):
        return self.bn2(self.conv(self.bn1(self.conv(inputs)))).mean((2, 3))


class Skipped(nn.Module):
    """What the convolution gives is used beside the batch-norm, too."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)

    def forward(self, inputs):
        hidden = self.conv(inputs)
        return (self.bn(hidden) + hidden.view(-1, 3, 6, 6)).mean((2, 3))


class Fickle(nn.Module):
    """Uses the weight once more where there are several inputs, which one example does not show."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)

    def forward(self, inputs):
        return self.bn(self.conv(inputs)).mean((2, 3)) + (self.conv.weight.sum() if len(inputs) > 1 else 0)


def inputs(count=4, shape=(2, 6, 6)):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(2))


def weights_of(model, example):
    return [pair.weight for pair in foldable_pairs(model, example[:1])]


PAIRS = {
    "plain": ((nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4)), ["0.weight"]),
    "bias, groups": ((nn.Conv2d(2, 4, 3, groups=2), nn.BatchNorm2d(4), nn.ReLU()), ["0.weight"]),
    "linear": ((nn.Flatten(), nn.Linear(72, 5), nn.BatchNorm1d(5)), ["1.weight"]),
    "linear without bias": ((nn.Flatten(), nn.Linear(72, 5, bias=False), nn.BatchNorm1d(5)), ["1.weight"]),
    "something in between": ((nn.Conv2d(2, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)), []),
    "something in place in between": ((nn.Conv2d(2, 4, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(4)), []),
    "other channels": ((nn.Conv2d(2, 4, 3), nn.Flatten(2), nn.Unflatten(2, (2, 8)), nn.BatchNorm2d(4)), []),
    "no statistics": ((nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)), []),
    "transposed": ((nn.ConvTranspose2d(2, 4, 3), nn.BatchNorm2d(4)), []),
    "parametrised": (
        (nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 4, 3)), nn.BatchNorm2d(4)),
        [],
    ),
}


@pytest.mark.parametrize("case", PAIRS)
def test_pairs_are_found_by_what_reads_what(case):
    layers, expected = PAIRS[case]
    model = chain(*layers)
    with torch.no_grad():
        model(inputs())
    assert weights_of(model, inputs()) == expected


@pytest.mark.parametrize("model", [Twice(), Skipped()])
def test_what_is_used_elsewhere_is_no_pair(model):
    assert weights_of(lively(model), inputs()) == []


def test_every_convolution_of_a_residual_network_is_a_pair_and_nothing_changes_by_looking():
    torch.manual_seed(0)
    model = lively(networks.build("small_resnet", 10, (1, 8, 8)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = weights_of(model, inputs(shape=(1, 8, 8)))
    assert found == [name for name, p in model.named_parameters() if p.ndim == 4]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@given(st.lists(st.floats(0.25, 64), min_size=1, max_size=1) | st.lists(st.floats(0.25, 64), min_size=4, max_size=4))
@settings(deadline=None, max_examples=25)
def test_the_function_is_the_same_whatever_the_factors(factors):
    model = chain(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    with torch.no_grad():
        model(inputs())
    before, weight = model(inputs()), model[0].weight.detach().clone()
    factor = torch.tensor(factors) if len(factors) > 1 else factors[0]
    (pair,) = foldable_pairs(model, inputs(1))
    fold(model, inputs(), {pair: factor})
    assert torch.allclose(model(inputs()), before, rtol=1e-4, atol=1e-5)
    assert torch.allclose(model[0].weight, weight * torch.tensor(factors).reshape(-1, 1, 1, 1), rtol=1e-6)
    model.train()
    assert model(inputs()).isfinite().all()


REFUSED = {
    "too small": (1e-4, "running_var cannot follow.*take factors of"),
    "negative": (-2.0, "must be above 0 and finite, but one is -2"),
    "not a number": (float("nan"), "must be above 0 and finite, but one is nan"),
    "of another length": (torch.ones(2), "one number or 3, one an output channel"),
    "another function": (2.0, "cannot be folded: an output moves by .*give fold=0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_folded_is_refused_and_left_as_it_was(case):
    factor, match = REFUSED[case]
    torch.manual_seed(0)
    model = lively(Fickle())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    (pair,) = foldable_pairs(model, inputs(1))
    with pytest.raises(UserError, match=match):
        fold(model, inputs(), {pair: factor})
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
