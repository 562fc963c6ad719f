"""Learned step sizes as a method: which weights take how few values, and what enters layers."""

from dataclasses import replace

import pytest
import torch

from tests.support import small_networks
from wfn import networks
from wfn.codebooks.quantisers.learned_steps import Range
from wfn.errors import UserError
from wfn.interface import Epoch
from wfn.methods.lsq import LearnedStepSizes, load_quantised
from wfn.system import ranks

QUICK = LearnedStepSizes(bits=3, first_last_bits=6, iterations=1, epochs=2)


def compress(method=QUICK, kind="convolutional", observe=lambda event: None):
    model = small_networks.build(kind)
    return model, method.compress(model, small_networks.data(), observe)


def values_of(weights):
    return {name: len(weight.unique()) for name, weight in weights.items()}


def test_layers_in_between_take_few_values_and_the_ends_more():
    before = dict(small_networks.build("convolutional").named_parameters())
    _, quantised = compress()
    found = values_of(quantised.weights)
    assert all(found[f"{layer}.weight"] <= 2**3 for layer in (3, 4, 5))
    assert 2**3 < found["0.weight"] <= 2**6 and found["9.weight"] <= 2**6
    assert found["1.bias"] == len(before["1.bias"])  # trained, but float


def test_the_whole_network_is_quantised_where_it_is_asked_for():
    _, quantised = compress(replace(QUICK, whole_network=True))
    found = values_of(quantised.weights)
    layers = {f"{layer}.weight" for layer in (3, 4, 5)}
    assert all(count <= (2**3 if name in layers else 2**6) for name, count in found.items())
    model = small_networks.build("convolutional")
    with torch.no_grad():
        model[1].weight.copy_(torch.linspace(0.5, 2, 8))
    scales = replace(QUICK, whole_network=True, epochs=0).compress(model, small_networks.data()).weights["1.weight"]
    assert (scales - torch.linspace(0.5, 2, 8)).abs().max() < 0.25  # 3 signed bits make the least of them 0
    assert replace(QUICK, whole_network=True).treatment.batch_norm == "6 bit"


def test_steps_of_weights_and_of_what_enters_layers_are_learned():
    kept = {}
    for epochs in (0, 2):
        model, quantised = compress(replace(QUICK, epochs=epochs, learning_rate=0.1))
        layers = [(name, module) for name, module in model.named_modules() if hasattr(module, "input_quantiser")]
        kept[epochs] = {name: layer.input_quantiser.step.item() for name, layer in layers}, quantised.records[-1]
    assert len(kept[0][0]) == 5
    assert all(kept[2][0][name] != step for name, step in kept[0][0].items())
    assert kept[0][1]["step_ratio_max"] != kept[2][1]["step_ratio_max"]


def test_it_says_how_far_steps_are_from_those_of_least_error():
    _, quantised = compress(replace(QUICK, epochs=0))
    ratios = []
    for name, weight in small_networks.build("convolutional").state_dict().items():
        if name in [f"{layer}.weight" for layer in (0, 3, 4, 5, 9)]:
            integers = Range.of(6 if name[0] in "09" else 3, signed=True)
            ratios.append((integers.first_step(weight) / integers.least_error_step(weight)).item())
    (record,) = quantised.records
    assert [record["step_ratio_min"], record["step_ratio_max"]] == pytest.approx([min(ratios), max(ratios)])


def test_activations_are_float_unless_they_are_quantised():
    model, _ = compress(replace(QUICK, quantise_activations=False))
    assert not any("input_quantiser" in name for name in model.state_dict())
    model, _ = compress()
    entering, image = [], small_networks.data()[1][0][:4]
    model[3].register_forward_pre_hook(lambda module, inputs: entering.append(inputs[0]))
    with torch.no_grad():
        model(image)
    assert len(entering[0].unique()) <= 2**3
    assert (model[0].input_quantiser.lowest, model[0].input_quantiser.highest) == (-32, 31)  # images are signed
    assert (model[9].input_quantiser.lowest, model[9].input_quantiser.highest) == (0, 63)  # behind a ReLU


@pytest.mark.parametrize("memory_alone", [False, True])
def test_layers_that_share_a_weight_are_quantised_whatever_it_is_called(memory_alone):
    model = small_networks.Tied(memory_alone)
    found = values_of(QUICK.compress(model, small_networks.words()).weights)
    assert found["embedding.weight"] <= 2**6 and found["hidden.weight"] <= 2**6
    marks = [name for name in model.state_dict() if name.endswith("input_quantiser.step")]
    assert marks == [f"{layer}.input_quantiser.step" for layer in ("head", "hidden", "again")]


@pytest.mark.parametrize("activations", [False, True])
def test_layers_before_batch_norm_share_one_step_where_steps_are_folded(activations):
    images, kept = small_networks.data()[1][0][:50], {}
    for folded in (False, True):
        torch.manual_seed(0)
        model = networks.build("small_resnet", 3, (2, 6, 6))
        method = replace(QUICK, fold_steps=folded, quantise_activations=activations, epochs=1)
        weights = method.compress(model, small_networks.data()).weights
        inner = [weight.ravel() for name, weight in weights.items() if weight.ndim == 4 and name != "conv1.weight"]
        with torch.no_grad():
            kept[folded] = len(torch.cat(inner).unique()), model(images)
    assert kept[True][0] <= 2**3 < kept[False][0]
    moved = (kept[True][1] - kept[False][1]).abs()
    assert moved.median() < 1e-4 and (activations or moved.max() < 1e-3)  # one rounding may move an activation's level


def test_steps_cannot_be_folded_without_batch_norm_which_is_told_before_any_training():
    trained = []
    with pytest.raises(UserError, match="alone, but this network has none: leave it off"):
        compress(replace(QUICK, fold_steps=True), "shared", trained.append)
    assert trained == []


def test_another_network_takes_what_a_run_left():
    model, _ = compress()
    other, image = small_networks.build("convolutional").eval(), small_networks.data()[1][0][:9]
    load_quantised(other, model.state_dict())
    assert torch.equal(other(image), model(image))
    with pytest.raises(UserError, match="does not fit this model"):
        load_quantised(small_networks.build("transformer"), model.state_dict())


def test_training_lowers_the_loss():
    events = []
    compress(replace(QUICK, iterations=2, epochs=4), observe=events.append)
    losses = [event.scores["train_loss"] for event in events if isinstance(event, Epoch)]
    assert len(losses) == 8 and losses[-1] < losses[0]


def test_several_processes_are_refused_where_activations_are_quantised(monkeypatch):
    monkeypatch.setattr(ranks, "count", lambda: 2)
    monkeypatch.setattr(ranks, "spread", lambda tensors: None)  # there is no other to give the weights to
    with pytest.raises(UserError, match="quantise_activations=True trains in one process, but 2 were started"):
        compress()


@pytest.mark.parametrize(
    "change",
    [{"bits": 1}, {"bits": 9}, {"first_last_bits": 0}, {"distillation": 2.0}, {"iterations": 0}, {"epochs": -1},
     {"learning_rate": -1.0}, {"momentum": 1.0}, {"weight_decay": -1.0}, {"precision": "float16"}, {"seed": -1}],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(change):
    (name,) = change
    with pytest.raises(UserError, match=f"{name} must be .*, but got {name}="):
        replace(QUICK, **change)
