"""Probabilistic weight fixing on networks of every kind; what every method must do, test_every_method.py asks."""

from dataclasses import replace
from math import ceil

import numpy as np
import pytest
import torch

from tests.support import small_networks
from wfn.codebooks.probabilistic_clustering import literal
from wfn.codebooks.probabilistic_clustering.merging import Rules
from wfn.data import as_data
from wfn.errors import UserError
from wfn.interface import Epoch, Iteration, Step, ignore
from wfn.methods.pwfn import ProbabilisticWeightFixing, RoundsTraining
from wfn.training.weight_noise import RELEASED_STEPS

QUICK = ProbabilisticWeightFixing(shares=(0.4, 0.8, 1.0), start_share=1.0, epochs=2, regularisation=2.0**-15, samples=2)


def compress(kind, method=QUICK, observe=lambda event: None, **options):
    model = small_networks.build(kind)
    return model, method.compress(model, small_networks.data(), observe, **options)


def flat(weights):
    return torch.cat([weight.flatten() for weight in weights.values()])


@pytest.fixture(params=small_networks.KINDS)
def kind(request):
    return request.param


def test_every_counted_weight_ends_on_a_sum_of_few_powers_of_two(kind):
    _, quantised = compress(kind)
    values = flat(quantised.weights)
    last = quantised.records[-1]
    assert last["share_fixed"] == 1
    assert len(values.unique()) == last["centres"] < len(values) / 4
    sums = literal.sums(4, 8.0, 2.0**-7)
    assert set(values.unique().tolist()) <= sums
    assert sum(count for name, count in last.items() if name.startswith("weights_order_")) == len(values)


def test_every_round_merges_its_share_of_all_weights_anew(kind):
    events = []
    _, quantised = compress(kind, observe=lambda event: events.append(event) if isinstance(event, Iteration) else None)
    counted = len(flat(quantised.weights))
    for share, event in zip(QUICK.shares, events[1:], strict=True):
        assert event.scores["share_fixed"] == ceil(share * counted) / counted
        assert event.scores["centres"] <= event.scores["merges"]


def test_without_training_the_clustering_is_the_literal_one():
    method = replace(QUICK, shares=(1.0,), start_epochs=0, prior=False, deviation=0.004)
    _, quantised = compress("convolutional", method)
    before = small_networks.build("convolutional")
    means = torch.cat([p.detach().flatten() for p in before.parameters()]).numpy()
    expected = means.copy()
    for centre, *_, taken in literal.merge(means, np.full(means.size, 0.004, np.float32), means.size, Rules()):
        expected[taken] = centre
    assert np.array_equal(np.sort(flat(quantised.weights).numpy()), np.sort(expected))
    fixed = torch.cat([quantised.weights[name].flatten() for name, _ in before.named_parameters()]).numpy()
    assert np.mean(fixed == expected) > 0.98  # filters lie channels last, so ties may fall to others


def test_stages_are_as_long_as_they_should_be_and_scores_are_told():
    events = []
    method = replace(QUICK, start_epochs=1, start_share=0.5)
    _, quantised = compress("convolutional", method, events.append)
    steps = [(event.iteration, event.epoch, event.step) for event in events if isinstance(event, Step)]
    assert len(steps) == 2 + 2 * 2 * 3
    assert [event.epoch for event in events if isinstance(event, Epoch)] == [1, 1, 2, 1, 2]
    used = QUICK.regularisation * RELEASED_STEPS / len(steps)
    assert all(record["regularisation_used"] == pytest.approx(used) for record in quantised.records)
    unscaled = replace(method, scale_regularisation=False)
    assert compress("convolutional", unscaled)[1].records[0]["regularisation_used"] == QUICK.regularisation
    assert quantised.scores["samples"] == 2
    assert [record["training_steps"] for record in quantised.records] == [2, 8, 14]


def test_steps_that_were_not_taken_do_not_count():
    """No weight is free any more in the last round: 0.999 of all, rounded up, are all of them."""
    _, quantised = compress("convolutional", replace(QUICK, shares=(0.4, 0.999, 1.0)))
    assert [record["share_fixed"] for record in quantised.records][1] == 1
    assert [record["training_steps"] for record in quantised.records] == [3, 9, 9]


def test_deviations_grow_by_the_regulariser():
    pulled = replace(QUICK, scale_regularisation=False, regularisation=0.5)
    free = replace(pulled, regularisation=0.0)
    means = [compress("convolutional", method)[1].records[0]["mean_deviation"] for method in (pulled, free)]
    assert means[0] > means[1]


def test_deviations_shrink_where_weights_are_merged():
    method = replace(QUICK, start_epochs=0, prior=False, deviation=0.01)
    training = RoundsTraining(
        method, small_networks.build("convolutional"), as_data(small_networks.data()), ignore, None
    )
    training.iterate()
    is_free, deviations = torch.from_numpy(training.codebook.free), training.deviations
    assert 0 < is_free.sum() < len(is_free)
    assert deviations[~is_free].max() < 0.01 and deviations[is_free].unique().tolist() == [np.float32(0.01)]
    training.weights.release()


def test_the_prior_has_an_effect():
    first = [compress("convolutional", replace(QUICK, prior=prior))[1] for prior in (True, False)]
    assert not torch.equal(*(flat(quantised.weights) for quantised in first))


@pytest.mark.parametrize("change", [{"noise": False}, {"merge": False}], ids=str)
def test_controls_without_noise_and_without_clustering(change):
    method = replace(QUICK, **change)
    _, quantised = compress("convolutional", method)
    values, last = flat(quantised.weights), quantised.records[-1]
    if method.merge:
        assert last["share_fixed"] == 1 and "without noise" in method.label
    else:
        assert len(values.unique()) > len(values) / 2
        assert "not clustered" in method.label
        assert last["share_fixed"] == 0 and method.treatment.first_last == "float"
        untouched = torch.cat([p.detach().flatten() for p in small_networks.build("convolutional").parameters()])
        assert not torch.equal(values.sort().values, untouched.sort().values)


def test_batch_norm_can_be_left_alone_but_trains():
    _, quantised = compress("convolutional", replace(QUICK, fix_batch_norm=False))
    before = dict(small_networks.build("convolutional").named_parameters())
    batch_norm = {"1.weight", "1.bias"}
    fixed = flat({name: weight for name, weight in quantised.weights.items() if name not in batch_norm})
    assert len(fixed.unique()) == quantised.records[-1]["centres"]
    assert not torch.equal(quantised.weights["1.weight"], before["1.weight"])
    assert len(quantised.weights["1.weight"].unique()) > 4


def test_frozen_parameters_are_fixed_but_never_trained():
    model, quantised = compress("shared")
    before = small_networks.build("shared").frozen.weight.detach()
    assert (quantised.weights["frozen.weight"] - before).abs().max() < 2.0**-7
    assert not model.frozen.weight.requires_grad
    assert model.first.weight is model.second.weight


def test_training_raises_the_accuracy():
    losses = []
    method = replace(QUICK, shares=(0.1, 0.2, 1.0), epochs=8, learning_rate=0.02)
    compress("convolutional", method, lambda e: losses.append(e.scores["train_loss"]) if isinstance(e, Epoch) else None)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "change",
    [{"samples": 0}, {"start_share": 0.0}, {"start_share": 1.5}, {"momentum": 1.0}, {"growth": 1.0}, {"orders": 0},
     {"orders": 5}, {"threshold": 0.01}, {"merged_deviation": "none"}, {"largest_deviation": 0.0}, {"deviation": -1e-4},
     {"distance": 0.0}, {"shares": (0.5,)}, {"precision": "float16"}, {"prior_scale": float("nan")}],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(change):
    (name,) = change
    with pytest.raises(UserError, match=f"{name} must .*, but got"):
        replace(QUICK, **change)
