"""k-means on a line, and weight sharing with fine-tuned values."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from tests.support import small_networks
from wfn.codebooks.k_means import STARTS, k_means
from wfn.data import as_data
from wfn.errors import UserError
from wfn.interface import Epoch, Iteration, Step
from wfn.methods.weight_sharing import KMeansSharing
from wfn.training.flat_weights import counted_weights
from wfn.training.updates.shared_values import SharedValues

QUICK = KMeansSharing(clusters=6, iterations=2, epochs=2, learning_rate=1e-3)

numbers = arrays(np.float32, st.integers(1, 60), elements=st.floats(-8, 8, width=32))


def squared_error(values, centres, assignment):
    return float(((values.astype(np.float64) - centres[assignment]) ** 2).sum())


@given(numbers, st.integers(1, 8), st.sampled_from(sorted(STARTS)))
def test_no_value_is_nearer_to_another_centre_and_every_centre_is_the_mean_of_its_values(values, clusters, start):
    centres, assignment = k_means(values, clusters, start)
    assert centres.size <= clusters
    assert set(assignment) == set(range(centres.size))  # all are in use
    distances = np.abs(values[:, None].astype(np.float64) - centres)
    assert np.all(distances[np.arange(values.size), assignment] <= distances.min(1) + 1e-5)
    means = [values[assignment == k].astype(np.float64).mean() for k in range(centres.size)]
    assert np.allclose(centres, means, rtol=1e-5, atol=1e-5)


@given(numbers, st.integers(1, 70), st.sampled_from(sorted(STARTS)))
def test_a_start_has_as_many_centres_as_asked_for_ascending_between_the_extremes(values, clusters, start):
    ordered = np.sort(values).astype(np.float64)
    centres = STARTS[start](ordered, clusters)
    assert centres.size == clusters and (np.diff(centres) >= 0).all()
    assert ordered[0] - 1e-9 <= centres[0] and centres[-1] <= ordered[-1] + 1e-9


def test_from_a_start_by_density_the_error_is_near_the_least_where_few_values_lie_far_out():
    """The least is that of the best of many k-means++ starts of scikit-learn."""
    from sklearn.cluster import KMeans

    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(0, 0.05, 4000), random.normal(1, 1, 40)]).astype(np.float32)
    errors = {start: squared_error(values, *k_means(values, 24, start)) for start in STARTS}
    least = KMeans(24, n_init=10, random_state=0).fit(values[:, None].astype(np.float64)).inertia_
    assert errors["density"] < 1.1 * least < errors["even"]


@given(numbers)
def test_no_more_values_than_clusters_are_kept_as_they_are(values):
    centres, assignment = k_means(values, np.unique(values).size)
    assert np.array_equal(centres[assignment], values)


def test_clusters_are_those_of_scikit_learn_from_the_same_start():
    from sklearn.cluster import KMeans

    values = np.random.default_rng(0).uniform(-1, 2, 3000).astype(np.float32)
    centres, assignment = k_means(values, 12)
    start = np.linspace(values.min(), values.max(), 12)[:, None]
    theirs = KMeans(12, init=start, n_init=1, max_iter=10_000, tol=0).fit(values[:, None].astype(np.float64))
    assert np.allclose(np.sort(theirs.cluster_centers_[:, 0]), centres, atol=1e-6)
    assert theirs.inertia_ == pytest.approx(squared_error(values, centres, assignment), rel=1e-6)


def test_centres_that_start_without_values_are_put_to_use():
    values = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    values[0] = 1000  # all but two of the evenly spaced centres are far from any value
    centres, assignment = k_means(values, 32)
    assert centres.size == 32
    bins = np.digitize(values, np.quantile(values, np.linspace(0, 1, 17)[1:-1]))
    sixteenths = sum(((values[bins == b] - values[bins == b].mean()) ** 2).sum() for b in range(15))
    assert squared_error(values, centres, assignment) < sixteenths


def compress(kind, method=QUICK, observe=lambda event: None, **options):
    model = small_networks.build(kind)
    return model, method.compress(model, small_networks.data(), observe, **options)


def test_the_gradient_of_a_shared_value_is_the_sum_of_its_weights():
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
    weights = counted_weights(model, as_data(small_networks.data()))
    assignment = (np.arange(219) % 4).astype(np.int32)
    shared = SharedValues(weights, np.arange(4, dtype=np.float32), assignment, 0.01, clip_norm=1e9)
    assert weights.values.tolist() == (np.arange(219) % 4).tolist()
    weights.values.grad.copy_(torch.linspace(-1, 2, 219))
    shared.after(torch.tensor(1.0))
    sums = [sum(torch.linspace(-1, 2, 219)[k::4].tolist()) for k in range(4)]
    assert shared.values.grad.tolist() == pytest.approx(sums, rel=1e-4)
    assert shared.values.tolist() == pytest.approx([k - 0.01 for k in range(4)], abs=1e-5)  # Adam's first step
    assert set(weights.values.tolist()) == set(shared.values.tolist())


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
    assert quantised.records[-1]["centres"] > 6


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
    shared = [compress("convolutional", replace(QUICK, start=start, epochs=0))[1].weights for start in STARTS]
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
