"""Entropy-constrained quantisation: a shared grid, whichever ingredient is left out, and learning from the teacher."""

from dataclasses import replace

import pytest
import torch

from tests.support import small_networks
from wfn.errors import UserError
from wfn.interface import Epoch, Iteration
from wfn.methods.entropy_constrained import EntropyConstrained

QUICK = EntropyConstrained(iterations=2, epochs=2, learning_rate=0.01)


def compress(kind="convolutional", method=QUICK, observe=lambda event: None):
    model = small_networks.build(kind)
    return model, method.compress(model, small_networks.data(), observe)


def entropy(weights):
    shares = torch.cat([w.flatten() for w in weights.values()]).unique(return_counts=True)[1].double()
    shares /= shares.sum()
    return -(shares * shares.log2()).sum().item()


LEFT_OUT = [
    {}, {"fold": 0.0}, {"rate": 0.0}, {"distillation": 0.0}, {"distillation": 0.5}, {"cosine": False},
    {"averaged_share": 0.0}, {"reestimate": False}, {"momentum": 0.0}, {"memory": 0.0}, {"epochs": 0},
]  # fmt: skip


@pytest.mark.parametrize("change", LEFT_OUT, ids=str)
def test_every_weight_is_a_multiple_of_the_step_whatever_is_left_out(change):
    model, quantised = compress(method=replace(QUICK, **change))
    for name, weight in quantised.weights.items():
        assert torch.equal((weight / QUICK.step).round() * QUICK.step, weight), name
        assert torch.equal(dict(model.named_parameters())[name], weight)
    values = torch.cat([weight.flatten() for weight in quantised.weights.values()])
    assert quantised.records[-1]["centres"] == len(values.unique())
    assert sum(v for k, v in quantised.records[-1].items() if k.startswith("weights_order_")) == len(values)


def test_each_ingredient_matters():
    lively = replace(QUICK, distillation=0.5, learning_rate=2.0, averaged_share=0.5)
    whole = compress(method=lively)[1].weights
    for name in ("fold", "rate", "distillation", "cosine", "averaged_share", "momentum", "epochs"):
        other = compress(method=replace(lively, **{name: type(getattr(lively, name))(0)}))[1].weights
        assert any(not torch.equal(whole[each], other[each]) for each in whole), name


@pytest.mark.parametrize("kind", ["transformer", "shared"])
def test_networks_without_batch_norm_are_quantised_unfolded_or_refused(kind):
    _, quantised = compress(kind, replace(QUICK, fold=0.0))
    assert all(torch.equal((w / QUICK.step).round() * QUICK.step, w) for w in quantised.weights.values())
    with pytest.raises(UserError, match="this network has none: give fold=0"):
        compress(kind)


def test_a_higher_rate_takes_fewer_bits():
    bits = [entropy(compress(method=replace(QUICK, epochs=0, rate=rate))[1].weights) for rate in (0.0, 0.3, 1.0)]
    assert bits == sorted(bits, reverse=True) and bits[-1] < bits[0] - 0.1


def test_training_brings_the_outputs_nearer_to_those_of_the_float_network():
    events, model = [], small_networks.build("convolutional")
    with torch.no_grad():
        model[-1].weight *= 30  # so that outputs differ
    method = replace(QUICK, step=0.25, fold=0.25, epochs=6, learning_rate=0.02)
    method.compress(model, small_networks.data(), events.append)
    losses = [event.scores["train_loss"] for event in events if isinstance(event, Epoch)]
    assert len(losses) == 12 and losses[-1] < losses[0]


def test_statistics_are_taken_anew_from_training_images_alone():
    kept = {}
    for reestimate in (True, False):
        model, _ = compress(method=replace(QUICK, reestimate=reestimate))
        kept[reestimate] = {name: value.clone() for name, value in model.named_buffers()}
    assert not torch.equal(kept[True]["1.running_var"], kept[False]["1.running_var"])
    assert kept[True]["1.num_batches_tracked"] == 3  # batches of one pass


def test_biases_batch_norm_and_the_last_layer_go_to_the_nearest_multiple():
    events = []
    compress(method=replace(QUICK, rate=50.0, epochs=0), observe=events.append)
    before, after = (event.weights for event in events if isinstance(event, Iteration) and event.number < 2)
    last = list(before)[-2]
    for name, weight in before.items():
        moved = (after[name] - weight).abs().max().item()
        assert moved <= QUICK.step / 2 + 1e-7 if weight.ndim == 1 or name == last else moved > QUICK.step / 2, name


@pytest.mark.parametrize(
    "change",
    [{"step": 0.03}, {"step": 0.0}, {"rate": -0.1}, {"fold": -1.0}, {"memory": 1.0}, {"distillation": 2.0},
     {"distillation_temperature": 0.0}, {"iterations": 0}, {"epochs": -1}, {"learning_rate": -1.0}, {"momentum": 1.0},
     {"weight_decay": -1.0}, {"averaged_share": 1.5}, {"precision": "float16"}, {"seed": -1}],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(change):
    (name,) = change
    with pytest.raises(UserError, match=f"{name} must be .*, but got {name}="):
        replace(QUICK, **change)


def test_a_step_too_fine_for_the_weights_is_refused():
    with pytest.raises(UserError, match="step must be coarser"):
        compress(method=replace(QUICK, step=2.0**-30))
