"""Weight sharing with fine-tuned values."""

from dataclasses import replace
from math import fsum

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from tests.support import small_networks
from tests.support.threads import one_thread_and_more
from wfn.codebooks.k_means import STARTS
from wfn.data import as_data
from wfn.errors import UserError
from wfn.interface import Epoch, Iteration, Step
from wfn.methods.weight_sharing import KMeansSharing
from wfn.training.flat_weights import counted_weights
from wfn.training.updates.shared_kernel import sums_by_value
from wfn.training.updates.shared_values import SharedValues
from wfn.training.updates.tensors import TensorSums

QUICK = KMeansSharing(clusters=6, iterations=2, epochs=2, learning_rate=1e-3)


def compress(kind, method=QUICK, observe=lambda event: None, **options):
    model = small_networks.build(kind)
    return model, method.compress(model, small_networks.data(), observe, **options)


@pytest.fixture(params=["compiled", "tensors"])
def way(request, monkeypatch):
    if request.param == "tensors":
        monkeypatch.setattr("wfn.training.updates.shared_values.KernelSums", TensorSums)


@pytest.mark.usefixtures("way")
def test_sums_follow_another_assignment_that_is_loaded():
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
    weights = counted_weights(model, as_data(small_networks.data()))
    shared = SharedValues(weights, np.zeros(4, np.float32), np.zeros(219, np.int32), 0.01, 1e9, np.zeros(4, bool))
    assignment = torch.arange(219, dtype=torch.int32) % 4
    shared.load_values(torch.arange(4.0), assignment)
    weights.values.grad.copy_(torch.linspace(-1, 2, 219))
    shared.after(torch.tensor(1.0))
    expected = [sum(torch.linspace(-1, 2, 219)[k::4].tolist()) for k in range(4)]
    assert shared.values.grad.tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.usefixtures("way")
def test_the_gradient_of_a_shared_value_is_the_sum_of_its_weights():
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
    weights = counted_weights(model, as_data(small_networks.data()))
    assignment = (np.arange(219) % 4).astype(np.int32)
    held = np.array([True, False, False, False])
    shared = SharedValues(weights, np.arange(4, dtype=np.float32), assignment, 0.01, 1e9, held)
    assert weights.values.tolist() == (np.arange(219) % 4).tolist()
    weights.values.grad.copy_(torch.linspace(-1, 2, 219))
    shared.after(torch.tensor(1.0))
    sums = [0.0, *(sum(torch.linspace(-1, 2, 219)[k::4].tolist()) for k in (1, 2, 3))]
    assert shared.values.grad.tolist() == pytest.approx(sums, rel=1e-4)
    moved = [0.0, *(k - 0.01 for k in (1, 2, 3))]  # by Adam's first step
    assert shared.values.tolist() == pytest.approx(moved, abs=1e-5) and shared.values[0] == 0
    assert set(weights.values.tolist()) == set(shared.values.tolist())


@given(st.integers(1, 200), st.integers(1, 300), st.integers(0, 2**32 - 1))
@settings(deadline=None)  # the first call compiles
def test_sums_are_those_of_one_weight_after_another(numbers, values, seed):
    random = np.random.default_rng(seed)
    of_weights = random.choice(np.array([1e-45, -0.0, 0, 1, -1, 3e38, 1e-3], np.float32), numbers)
    assignment = random.integers(0, values, numbers).astype(np.int32)
    expected = [fsum(of_weights[assignment == value].tolist()) for value in range(values)]
    assert sums_by_value(of_weights, assignment, values).tolist() == pytest.approx(expected, rel=1e-12)


@given(st.integers(1, 200), st.integers(1, 300), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_sums_by_tensor_operations_are_the_compiled_ones(numbers, values, seed):
    random = np.random.default_rng(seed)
    of_weights = random.choice(np.array([1e-45, -0.0, 0, 1, -1, 1e-3], np.float32), numbers)
    assignment = random.integers(0, values, numbers).astype(np.int32)
    sums = TensorSums(torch.from_numpy(assignment), values).of(torch.from_numpy(of_weights))
    assert sums.tolist() == pytest.approx(sums_by_value(of_weights, assignment, values).tolist(), rel=1e-5, abs=1e-5)


def test_sums_do_not_depend_on_the_number_of_threads():
    random = np.random.default_rng(0)
    of_weights, assignment = random.normal(size=10_007).astype(np.float32), random.integers(0, 9, 10_007, np.int32)
    found = [sums_by_value(of_weights, assignment, 9).tolist() for _ in one_thread_and_more()]
    assert found[0] == found[1]


@pytest.mark.parametrize("per_layer", [False, True])
@pytest.mark.parametrize("start", STARTS)
def test_what_is_zero_stays_zero(start, per_layer):
    model = small_networks.build("convolutional")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.masked_fill_(parameter.abs() <= parameter.abs().quantile(0.7), 0)
    zero = {name: parameter.detach() == 0 for name, parameter in model.named_parameters()}
    assert sum(places.sum() for places in zero.values()) > 100
    method = replace(QUICK, start=start, per_layer=per_layer, learning_rate=0.05)
    quantised = method.compress(model, small_networks.data())
    assert all((quantised.weights[name][places] == 0).all() for name, places in zero.items())
    assert all(record["weights_order_0"] >= 100 for record in quantised.records)
    distinct = torch.cat([weight.flatten() for weight in quantised.weights.values()]).unique()
    assert quantised.records[-1]["centres"] == len(distinct)  # zero is a value of several layers, and counts once


def test_one_value_for_pruned_and_other_weights_is_refused():
    model = small_networks.build("convolutional")
    prune.random_unstructured(model[3], "weight", 0.5)
    with pytest.raises(UserError, match=r"kmeans with clusters=1 does not keep pruned weights at zero, but 3\.weight"):
        replace(QUICK, clusters=1).compress(model, small_networks.data())


def test_the_label_names_what_the_start_makes():
    labels = [replace(QUICK, **change).label for change in ({}, {"start": "density"}, {"per_layer": True})]
    assert labels == [
        "k-means, 6 values, near-uniform", "k-means, 6 values, by density", "k-means, 6 a layer, near-uniform",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", small_networks.KINDS)
def test_all_counted_weights_share_the_values_that_were_asked_for(kind):
    model, quantised = compress(kind)
    assert len(torch.cat([w.flatten() for w in quantised.weights.values()]).unique()) == QUICK.clusters
    names = dict(model.named_parameters())
    assert all(torch.equal(names[name], weight) for name, weight in quantised.weights.items())
    assert all(record["centres"] == 6 and record["share_fixed"] == 1 for record in quantised.records)


def test_each_layer_can_have_values_of_its_own():
    _, quantised = compress("convolutional", replace(QUICK, per_layer=True))
    layers = {}
    for name, weight in quantised.weights.items():
        layers.setdefault(name.rpartition(".")[0], []).append(weight.flatten())
    for values in layers.values():
        assert 1 < len(torch.cat(values).unique()) <= 6
    distinct = torch.cat([weight.flatten() for weight in quantised.weights.values()]).unique()
    assert quantised.records[-1]["centres"] == len(distinct) > 6


def test_fine_tuning_lowers_the_loss_and_is_told_stage_by_stage():
    events = []
    compress("convolutional", replace(QUICK, learning_rate=0.01, epochs=4), events.append)
    losses = [event.scores["train_loss"] for event in events if isinstance(event, Epoch)]
    assert len(losses) == 8
    assert losses[-1] < losses[0]
    assert [event.number for event in events if isinstance(event, Iteration)] == [0, 1, 2]
    assert sum(isinstance(event, Step) for event in events) == 8 * 3
    baseline = dict(small_networks.build("convolutional").named_parameters())
    untouched = next(event for event in events if isinstance(event, Iteration))
    assert all(torch.equal(baseline[name], weight) for name, weight in untouched.weights.items())


def test_it_can_learn_from_the_float_network():
    lively = replace(QUICK, learning_rate=0.05)
    shared = [compress("convolutional", replace(lively, distillation=share))[1].weights for share in (0.0, 1.0)]
    assert any(not torch.equal(shared[0][name], shared[1][name]) for name in shared[0])


def test_the_same_seed_gives_the_same_bits():
    weights = [compress("transformer", replace(QUICK, seed=seed))[1].weights for seed in (1, 1, 2)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(not torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_with_another_network_as_the_teacher_a_checkpoint_is_refused(tmp_path):
    """Where labels alone teach, the shared values are all that matters."""
    for share in (0.0, 0.5):
        method, checkpoint = replace(QUICK, distillation=share), tmp_path / str(share)
        compress("convolutional", method, checkpoint=checkpoint)
        other = small_networks.build("convolutional")
        with torch.no_grad():
            other[0].weight.mul_(2)
        if share:
            with pytest.raises(UserError, match="network's weights was"):
                method.compress(other, small_networks.data(), checkpoint=checkpoint)
        else:
            method.compress(other, small_networks.data(), checkpoint=checkpoint)


class CutError(Exception):
    """Stands in for a kill."""


@pytest.mark.parametrize("cut_at", [1, 2, 3])
def test_a_run_cut_off_after_any_epoch_ends_with_the_same_weights(tmp_path, cut_at):
    _, uncut = compress("convolutional")
    epochs = 0

    def cut(event):
        nonlocal epochs
        epochs += isinstance(event, Epoch)
        if epochs == cut_at and isinstance(event, Step):
            raise CutError

    with pytest.raises(CutError):
        compress("convolutional", observe=cut, checkpoint=tmp_path / "c")
    repeated = []
    _, resumed = compress("convolutional", observe=repeated.append, checkpoint=tmp_path / "c")
    assert sum(isinstance(event, Epoch) for event in repeated) == 4 - cut_at
    assert all(torch.equal(uncut.weights[name], resumed.weights[name]) for name in uncut.weights)
    assert resumed.records == uncut.records
    with pytest.raises(UserError, match=r"other settings \(clusters was 6, is 5"):
        compress("convolutional", replace(QUICK, clusters=5), checkpoint=tmp_path / "c")


def test_the_method_takes_a_start_by_its_name():
    shared = [
        compress("convolutional", replace(QUICK, start=start, clusters=40, epochs=0))[1].weights for start in STARTS
    ]
    assert any(not torch.equal(shared[0][name], shared[1][name]) for name in shared[0])
    with pytest.raises(UserError, match="unknown start 'evne': did you mean even"):
        replace(QUICK, start="evne")


@pytest.mark.parametrize(
    "change",
    [{"clusters": 0}, {"iterations": 0}, {"epochs": -1}, {"learning_rate": -1.0}, {"learning_rate": float("nan")},
     {"clip_norm": 0.0}, {"precision": "float16"}, {"seed": -1}],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(change):
    (name,) = change
    with pytest.raises(UserError, match=f"{name} must be .*, but got {name}="):
        replace(QUICK, **change)
