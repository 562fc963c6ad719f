"""Weight fixing on networks of every kind: what holds of every run, whatever the network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.support import small_networks
from wfn.codebooks.codebook import Codebook
from wfn.errors import UserError
from wfn.interface import Epoch, Iteration, Step
from wfn.methods.weight_fixing import WeightFixing

QUICK = WeightFixing(delta=0.05, shares=(0.4, 0.8, 1.0), epochs=2, learning_rate=1e-3)


def compress(kind, method=QUICK, observe=lambda event: None, **options):
    model = small_networks.build(kind)
    return model, method.compress(model, small_networks.data(), observe, **options)


@pytest.fixture(params=small_networks.KINDS)
def kind(request):
    return request.param


def test_every_counted_weight_ends_on_a_centre(kind):
    events = []
    model, quantised = compress(kind, observe=events.append)
    last = quantised.records[-1]
    assert last["share_fixed"] == 1
    values = torch.cat([w.flatten() for w in quantised.weights.values()])
    assert len(values.unique()) == last["centres"] < values.numel() / 2
    names = dict(model.named_parameters())
    assert all(torch.equal(names[name], weight) for name, weight in quantised.weights.items())
    assert names.keys() - quantised.weights.keys() == {n for n in names if n.startswith("never_used")}


def test_a_fixed_weight_never_moves_again_and_shares_are_reached(kind):
    snapshots = []

    def observe(event):
        if isinstance(event, Iteration):
            flat = torch.cat([w.flatten() for w in event.weights.values()]).numpy()
            snapshots.append((event, flat))

    compress(kind, observe=observe)
    assert [event.number for event, _ in snapshots] == [0, 1, 2, 3]
    for share, (event, flat), (_, final) in zip(
        QUICK.shares, snapshots[1:], snapshots[2:] + snapshots[-1:], strict=True
    ):
        assert event.scores["share_fixed"] >= share
        unmoved = np.sum(flat.view(np.int32) == final.view(np.int32))
        assert unmoved >= round(event.scores["share_fixed"] * flat.size)


def test_only_buffers_of_training_and_unused_parameters_stay_out(kind):
    untouched = small_networks.build(kind)
    model, _ = compress(kind, replace(QUICK, epochs=0))
    for name, buffer in untouched.named_buffers():
        assert torch.equal(buffer, model.get_buffer(name)), name
    if kind == "transformer":
        assert torch.equal(untouched.never_used.weight, model.never_used.weight)


def test_frozen_parameters_are_fixed_but_never_trained():
    model, quantised = compress("shared")
    before = small_networks.build("shared").frozen.weight.detach()
    fixed = quantised.weights["frozen.weight"]
    moved = (fixed - before).abs() / before.abs()
    assert (
        moved[before.abs() >= QUICK.threshold].max() < 1
    )  # rounded to a centre near by, which training would have left
    assert not model.frozen.weight.requires_grad
    assert model.first.weight is model.second.weight


def test_batch_norm_can_be_left_alone():
    model, quantised = compress("convolutional", replace(QUICK, fix_batch_norm=False, learning_rate=0.01))
    batch_norm = {"1.weight", "1.bias"}
    fixed = torch.cat([w.flatten() for name, w in quantised.weights.items() if name not in batch_norm])
    assert len(fixed.unique()) == quantised.records[-1]["centres"]
    assert len(model[1].weight.unique()) == 8  # trained apart, not shared


def test_the_same_seed_gives_the_same_bits_and_another_does_not(kind):
    weights = [compress(kind, replace(QUICK, seed=seed))[1].weights for seed in (1, 1, 2)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert any(not torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_the_run_leaves_torchs_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    model = small_networks.build("shared")
    torch.manual_seed(5)
    QUICK.compress(model, small_networks.data())
    assert torch.equal(torch.rand(3), expected)


class CutError(Exception):
    """Stands in for a kill."""


@pytest.mark.parametrize("cut_at", [1, 2, 5])
@pytest.mark.parametrize("kind", ["convolutional", "transformer"])
def test_a_run_cut_off_after_any_epoch_ends_with_the_same_weights(tmp_path, kind, cut_at):
    uncut_model, uncut = compress(kind)
    epochs = 0

    def cut(event):
        nonlocal epochs
        epochs += isinstance(event, Epoch)
        if epochs > cut_at or (epochs == cut_at and isinstance(event, Step)):
            raise CutError

    with pytest.raises(CutError):
        compress(kind, observe=cut, checkpoint=tmp_path / "c")
    repeated = []
    resumed_model, resumed = compress(kind, observe=repeated.append, checkpoint=tmp_path / "c")
    assert sum(isinstance(event, Epoch) for event in repeated) < 6
    assert all(torch.equal(uncut.weights[name], resumed.weights[name]) for name in uncut.weights)
    for name, buffer in uncut_model.named_buffers():  # unlike rounded weights, these show any difference on the way
        assert torch.equal(buffer, resumed_model.get_buffer(name)), name
    assert [r["iteration"] for r in resumed.records] == [1, 2, 3]


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    compress("shared", checkpoint=tmp_path / "c")
    with pytest.raises(UserError, match=r"other settings \(alpha was 0.4, is 0.2\)"):
        compress("shared", replace(QUICK, alpha=0.2), checkpoint=tmp_path / "c")


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    compress("shared", checkpoint=tmp_path / "c")
    other = small_networks.build("shared")
    other.last.weight.data.mul_(-1.7)
    with pytest.raises(UserError, match="network's weights was"):
        QUICK.compress(other, small_networks.data(), checkpoint=tmp_path / "c")


def test_a_wholly_frozen_network_is_fixed_without_training():
    events, model = [], small_networks.build("shared").requires_grad_(False)
    quantised = QUICK.compress(model, small_networks.data(), events.append)
    assert quantised.records[-1]["share_fixed"] == 1
    assert not any(isinstance(event, Epoch) for event in events)


def test_train_first_trains_before_the_first_clustering_and_can_be_turned_off():
    for train_first, stages in ((True, {1, 2, 3}), (False, {2, 3})):
        events = []
        compress("shared", replace(QUICK, train_first=train_first), events.append)
        assert {event.iteration for event in events if isinstance(event, Epoch)} == stages


def test_alpha_zero_turns_the_regulariser_off_and_alpha_pulls_towards_the_centres():
    penalties = {}
    for alpha in (0.0, 0.4, 20.0):
        events = []
        compress("shared", replace(QUICK, alpha=alpha, epochs=10), events.append)
        penalties[alpha] = [event.scores["penalty"] for event in events if isinstance(event, Epoch)]
    assert set(penalties[0.0]) == {0.0}
    assert set(penalties[0.4][:10]) == {0.0}  # before the first clustering there is no centre
    assert penalties[20.0][19] < penalties[0.4][19]


def test_a_network_that_moves_its_own_weights_is_refused():
    class Restless(nn.Linear):
        def forward(self, inputs):
            if self.training:
                self.weight.data.mul_(1.01)
            return super().forward(inputs)

    model = nn.Sequential(nn.Flatten(), Restless(72, 3))
    with pytest.raises(UserError, match="fixed weights moved"):
        QUICK.compress(model, small_networks.data())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"delta": 0.0}, "delta must be between 0 and 1"),
        ({"delta": 1.0}, "delta must be between 0 and 1"),
        ({"delta": float("nan")}, "delta must be between 0 and 1"),
        ({"delta": 0.4}, "below 0.333333 with 3 iterations"),
        ({"delta": 1e-12}, "at least 1e-6"),
        ({"alpha": -0.1}, "alpha must be 0"),
        ({"threshold": 0.0}, "threshold must be"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"shares": ()}, "shares must rise"),
        ({"shares": (0.5, 0.4, 1.0)}, "shares must rise"),
        ({"shares": (0.5, 0.9)}, "shares must rise"),
        ({"epochs": -1}, "epochs must be from 0 to 100,000"),
        ({"learning_rate": float("inf")}, "learning_rate must be"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0"),
        ({"clip_norm": float("inf")}, "clip_norm must be above 0, and finite"),
        ({"precision": "float16"}, "precision must be float32 or bfloat16"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_settings_that_cannot_work_are_refused(change, message):
    with pytest.raises(UserError, match=message) as caught:
        replace(QUICK, **change)
    assert "\n" not in str(caught.value)


def test_a_clustering_that_would_take_hours_is_refused_before_anything_is_done():
    def observe(event):
        raise AssertionError("it has begun")

    with pytest.raises(UserError, match="would take hours to cluster"):
        compress("shared", replace(QUICK, delta=1e-6, threshold=1e-8), observe)


def test_networks_that_cannot_be_fixed_are_refused():
    def refused(model, message):
        with pytest.raises(UserError, match=message):
            QUICK.compress(model, small_networks.data())

    bad = small_networks.build("shared")
    bad.last.weight.data[0, 0] = float("nan")
    refused(bad, "last.weight holds NaN or infinity")
    refused(nn.Sequential(nn.Flatten(), nn.Linear(72, 2)), r"must give 3 scores")


def test_an_empty_codebook_has_no_values():
    assert Codebook.empty(0).values().size == 0


def fixed_at_each_iteration(method):
    """The values of all counted weights after each iteration, and how many are fixed then."""
    found = []

    def observe(event):
        if isinstance(event, Iteration) and event.number:
            values = torch.cat([w.flatten() for w in event.weights.values()]).numpy()
            found.append((values, round(event.scores["share_fixed"] * values.size)))

    compress("convolutional", method, observe)
    return found


def test_the_released_variant_clusters_first_anew_and_cuts_off():
    method = replace(QUICK, variant="released")
    epochs = []
    _, quantised = compress("convolutional", method, lambda e: epochs.append(e) if isinstance(e, Epoch) else None)
    assert {event.iteration for event in epochs} == {2, 3}  # no training before the first clustering
    size = sum(weight.numel() for weight in quantised.weights.values())
    fixed = [round(record["share_fixed"] * size) for record in quantised.records]
    assert fixed == [int(share * size) for share in method.shares]
    assert method.label == "WFN δ = 0.05, as released"


def test_clustering_anew_lets_fixed_weights_move_again():
    for change in ({"recluster": True}, {"variant": "released"}):
        (first, share, *_), *_, (last, _) = [*fixed_at_each_iteration(replace(QUICK, **change))]
        values, counts = np.unique(first, return_counts=True)
        on_centres = np.isin(first, values[counts > 1])
        assert share <= np.count_nonzero(on_centres)
        assert np.count_nonzero(first[on_centres] != last[on_centres])


def test_an_unknown_variant_is_refused():
    with pytest.raises(UserError, match="variant must be printed or released, but got variant=mine"):
        replace(QUICK, variant="mine")


def test_where_nothing_is_free_any_more_nothing_is_trained():
    events = []
    whole = replace(QUICK, shares=(0.5, 0.9, 1.0), delta=0.3, threshold=10.0, train_first=False)
    _, quantised = compress("convolutional", whole, events.append)
    assert [record["share_fixed"] for record in quantised.records] == [1, 1, 1]
    assert not any(isinstance(event, Epoch | Step) for event in events)
