"""Weight fixing with what is not the paper's: folded scales, a teacher, trained values, statistics taken anew."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support import small_networks
from wfn.codebooks.powers_of_two import powers_of_two
from wfn.errors import UserError
from wfn.interface import Epoch, Iteration, Step
from wfn.methods.weight_fixing import WeightFixing

QUICK = WeightFixing(delta=0.05, shares=(0.4, 0.8, 1.0), epochs=2, learning_rate=1e-3)
VALUES = replace(QUICK, value_epochs=2)


def compress(method, kind="convolutional", observe=lambda event: None, **options):
    model = small_networks.build(kind)
    return model, method.compress(model, small_networks.data(), observe, **options)


def flat(weights):
    return torch.cat([weight.flatten() for weight in weights.values()])


def test_by_default_none_of_them_has_a_part():
    """Each at what turns it off, as a run from before they were there: the same bits."""
    off = {"fold": 0.0, "distillation": 0.0, "value_epochs": 0, "value_order": 0, "reestimate": False}
    assert all(getattr(WeightFixing(), name) == value for name, value in off.items())
    assert WeightFixing().iterations == len(WeightFixing().shares)
    model, quantised = compress(QUICK)
    again, plain = compress(replace(QUICK, **off, distillation_temperature=1.0))
    assert torch.equal(flat(quantised.weights), flat(plain.weights))
    assert all(torch.equal(*pair) for pair in zip(model.buffers(), again.buffers(), strict=True))


@pytest.mark.parametrize("change", [{"fold": 0.25}, {"distillation": 1.0}, {"value_epochs": 2}], ids=str)
def test_each_matters_and_every_weight_still_ends_on_a_shared_value(change):
    model, quantised = compress(replace(QUICK, learning_rate=0.02, **change))
    _, plain = compress(replace(QUICK, learning_rate=0.02))
    values = flat(quantised.weights)
    assert not torch.equal(values, flat(plain.weights))
    assert len(values.unique()) == quantised.records[-1]["centres"] < len(values) / 2
    assert all(torch.equal(dict(model.named_parameters())[name], w) for name, w in quantised.weights.items())


def test_statistics_taken_anew_leave_the_weights_alone():
    model, quantised = compress(replace(QUICK, reestimate=True))
    plain_model, plain = compress(QUICK)
    assert torch.equal(flat(quantised.weights), flat(plain.weights))
    assert not torch.equal(model[1].running_var, plain_model[1].running_var)
    assert model[1].num_batches_tracked == 3  # batches of one pass


@pytest.mark.parametrize("kind", small_networks.KINDS)
def test_trained_values_keep_who_shares_them_and_zero_stays_zero(kind):
    seen = []
    compress(VALUES, kind, lambda event: seen.append(event) if isinstance(event, Iteration) else None)
    assert [event.number for event in seen] == [0, 1, 2, 3, 4]
    before, after = (flat(event.weights).numpy() for event in seen[-2:])
    for value in np.unique(before):
        (trained,) = np.unique(after[before == value])
        assert value != 0 or trained == 0
    assert not np.array_equal(before, after) and len(np.unique(after)) == len(np.unique(before))


def test_trained_values_lower_the_loss():
    losses = []

    def observe(event):
        if isinstance(event, Epoch) and event.iteration == 4:
            losses.append(event.scores["train_loss"])

    compress(replace(QUICK, value_epochs=6, learning_rate=0.01), observe=observe)
    assert len(losses) == 6 and losses[-1] < losses[0]


def test_trained_values_can_be_sums_of_few_powers_of_two_again():
    for order in (1, 2):
        _, quantised = compress(replace(VALUES, value_order=order, learning_rate=0.01))
        values = flat(quantised.weights).unique().tolist()
        assert max(map(powers_of_two, values)) <= order
        assert len(values) == quantised.records[-1]["centres"]


def test_batch_norm_that_is_left_alone_trains_on_with_the_values():
    seen = []
    method = replace(VALUES, fix_batch_norm=False, learning_rate=0.01)
    model, _ = compress(method, observe=lambda event: seen.append(event) if isinstance(event, Iteration) else None)
    before, after = (event.weights["1.bias"] for event in seen[-2:])
    assert (before != after).all() and len(model[1].weight.unique()) == 8


class CutError(Exception):
    """Stands in for a kill."""


ALL = replace(VALUES, fold=0.25, distillation=0.5, reestimate=True, recluster=True, value_order=2, fix_batch_norm=False)


@pytest.mark.parametrize("cut_at", [1, 4, 6, 7, 8])
def test_cut_off_anywhere_it_ends_with_the_same_bits(tmp_path, cut_at):
    """After epoch 6 every weight is fixed; 7 and 8 train the values."""
    epochs = 0

    def cut(event):
        nonlocal epochs
        epochs += isinstance(event, Epoch)
        if epochs == cut_at and isinstance(event, Step | Iteration):
            raise CutError

    uncut_model, uncut = compress(ALL)
    with pytest.raises(CutError):
        compress(ALL, observe=cut, checkpoint=tmp_path / "c")
    model, resumed = compress(ALL, checkpoint=tmp_path / "c")
    assert torch.equal(flat(uncut.weights), flat(resumed.weights))
    assert all(torch.equal(*pair) for pair in zip(uncut_model.buffers(), model.buffers(), strict=True))
    assert [row["centres"] for row in resumed.records] == [row["centres"] for row in uncut.records]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"fold": -1.0}, "fold must be 0"),
        ({"distillation": 1.5}, "distillation must be from 0"),
        ({"value_epochs": -1}, "value_epochs must be from 0 to"),
        ({"value_order": -1, "value_epochs": 1}, "value_order must be 0"),
        ({"value_order": 2}, "value_order must be 0 .as trained., or 1 to 24 where value_epochs are above 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(change, match):
    with pytest.raises(UserError, match=match):
        replace(QUICK, **change)


def test_a_network_without_batch_norm_cannot_be_folded():
    with pytest.raises(UserError, match="this network has none: give fold=0"):
        compress(replace(QUICK, fold=0.25), "shared")
