"""The float references of uncertainty: a deep ensemble and MC-dropout."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.support import small_networks
from wfn.data import as_data
from wfn.errors import UserError
from wfn.measures.common.averaged import predict_mean
from wfn.methods.ensemble import DeepEnsemble, draw_anew
from wfn.methods.mc_dropout import MonteCarloDropout
from wfn.networks import build


class Viewing(nn.Module):
    """Takes a view of what a convolution gives, so that it does not run in channels-last order."""

    def __init__(self):
        super().__init__()
        self.convolution, self.dropout, self.last = nn.Conv2d(2, 4, 3), nn.Dropout(0.5), nn.Linear(64, 3)

    def forward(self, inputs):
        return self.last(self.dropout(self.convolution(inputs)).view(len(inputs), -1))


class OfTwo(nn.Module):
    """Takes two inputs, and gives its scores in a dict."""

    def __init__(self):
        super().__init__()
        self.first, self.dropout, self.last = nn.Linear(72, 8), nn.Dropout(0.5), nn.Linear(8, 3)

    def forward(self, one, other):
        return {"logits": self.last(self.dropout(self.first((one + other).flatten(1))))}


def of_users(kind):
    """A network as a user may have it, and data for it."""
    torch.manual_seed(0)
    if kind is Viewing:
        return Viewing(), as_data(small_networks.data())
    inputs, labels = small_networks.images()
    return OfTwo(), as_data(([(inputs, inputs, labels)], [(inputs[:50], inputs[50:100], labels[:50])]))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WFN_CACHE", str(tmp_path))


def outputs(networks):
    inputs = small_networks.images(seed=1)[0].to(memory_format=torch.channels_last)  # what is dropped depends on it
    with torch.no_grad():
        return [network(inputs) for network in networks()]


def test_members_differ_the_first_is_the_given_one_and_all_are_trained():
    model = small_networks.build("convolutional")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    quantised = DeepEnsemble(members=3, baseline_epochs=2).compress(model, small_networks.data())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    first, *others = quantised.networks()
    assert first is model and len(others) == 2 and quantised.scores == {"samples": 3}
    scores = outputs(quantised.networks)
    assert not torch.equal(scores[1], scores[2]) and not torch.equal(scores[0], scores[1])
    assert all(not network.training and network[1].num_batches_tracked > 0 for network in others)


def test_kept_members_are_taken_again_and_another_seed_has_others():
    def first_other(seed):
        method = DeepEnsemble(members=2, baseline_epochs=1, seed=seed)
        return outputs(method.compress(small_networks.build("convolutional"), small_networks.data()).networks)[1]

    assert torch.equal(first_other(0), first_other(0))
    assert not torch.equal(first_other(0), first_other(1))


def test_layers_draw_anew_by_the_seed_alone():
    models = [small_networks.build("shared") for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        draw_anew(model, seed)
    assert torch.equal(models[0].last.weight, models[1].last.weight)
    assert not torch.equal(models[0].last.weight, models[2].last.weight)
    assert models[0].first.weight is models[0].second.weight
    with pytest.raises(UserError, match="needs layers that draw their weights anew"):
        draw_anew(nn.Sequential(nn.Flatten()), 0)


@pytest.mark.parametrize("kind", ["transformer", "residual"])
def test_dropout_is_on_while_networks_are_drawn_and_off_afterwards(kind):
    torch.manual_seed(0)
    model = build("small_resnet_dropout", 3, (2, 6, 6)) if kind == "residual" else small_networks.build(kind)
    quantised = MonteCarloDropout(samples=3).compress(model, small_networks.data())
    scores = outputs(quantised.networks)
    assert all(not torch.equal(scores[i], scores[j]) for i, j in ((0, 1), (1, 2), (0, 2)))
    assert all(torch.equal(one, other) for one, other in zip(scores, outputs(quantised.networks), strict=True))
    assert not any(layer.training for layer in model.modules())
    assert torch.backends.mha.get_fastpath_enabled()
    data = [small_networks.images(seed=1)]
    torch.manual_seed(4)
    expected = torch.rand(2)
    torch.manual_seed(4)
    mean = predict_mean(quantised.networks(), data, torch.device("cpu"))
    assert torch.equal(torch.rand(2), expected)
    total = torch.stack([each.double().softmax(1) for each in scores]).mean(0)
    torch.testing.assert_close(mean.scores.double().softmax(1), total, rtol=1e-4, atol=1e-6)


def test_without_dropout_layers_it_says_so_in_one_line():
    for model in (
        small_networks.build("convolutional"),
        nn.Sequential(nn.Flatten(), nn.Dropout(0.0), nn.Linear(72, 3)),
    ):
        with pytest.raises(UserError, match="needs a network with dropout layers") as refused:
            MonteCarloDropout().compress(model, small_networks.data())
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("method", [MonteCarloDropout(samples=2), DeepEnsemble(members=2, baseline_epochs=1)])
@pytest.mark.parametrize("kind", [Viewing, OfTwo])
def test_users_networks_are_averaged(kind, method):
    model, data = of_users(kind)
    mean = predict_mean(method.compress(model, data).networks(), data.test, torch.device("cpu"))
    assert mean.scores.shape == (len(mean.labels), 3)
    alone = predict_mean([model], data.test, torch.device("cpu"))
    assert not torch.allclose(mean.scores, alone.scores, atol=1e-3)


def test_an_ensemble_of_another_task_is_refused_before_anything_starts():
    inputs, labels = small_networks.images()
    pairs = inputs, labels[:, None].float()
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 1))
    with pytest.raises(UserError, match="for classification alone, not for task 'regression'") as refused:
        DeepEnsemble(members=2).compress(model, as_data((pairs, pairs), task="regression"))
    assert "\n" not in str(refused.value)


def test_an_ensemble_of_a_network_that_cannot_be_trained_is_refused_in_one_line():
    inputs, labels = small_networks.images()
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    loader = DataLoader(TensorDataset(inputs[:21], labels[:21]), batch_size=20)
    data = as_data((loader, loader))
    with pytest.raises(UserError, match="the last training batch holds one input"):
        DeepEnsemble(members=2, baseline_epochs=1).compress(model, data)


@pytest.mark.parametrize("change", [{"members": 1}, {"members": 0}, {"baseline_epochs": -1}], ids=str)
def test_ensembles_that_cannot_be_are_refused(change):
    (name,) = change
    with pytest.raises(UserError, match=f"{name} must be"):
        DeepEnsemble(**change)


def test_no_sample_is_refused():
    with pytest.raises(UserError, match=r"samples must be from 1 to 10,000, .* but got samples=0"):
        MonteCarloDropout(samples=0)
