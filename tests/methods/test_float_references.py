"""The float references of uncertainty: a deep ensemble and MC-dropout."""

import pytest
import torch
from torch import nn

from tests.support import small_networks
from wfn.errors import UserError
from wfn.measures.common.averaged import predict_mean
from wfn.methods.ensemble import DeepEnsemble, draw_anew
from wfn.methods.mc_dropout import MonteCarloDropout
from wfn.networks import build


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


@pytest.mark.parametrize("change", [{"members": 1}, {"members": 0}, {"baseline_epochs": -1}], ids=str)
def test_ensembles_that_cannot_be_are_refused(change):
    (name,) = change
    with pytest.raises(UserError, match=f"{name} must be"):
        DeepEnsemble(**change)


def test_no_sample_is_refused():
    with pytest.raises(UserError, match=r"samples must be from 1 to 10,000, .* but got samples=0"):
        MonteCarloDropout(samples=0)
