"""Cluster-on-the-fly PWFN, the reconstruction; what every method must do, test_every_method.py asks."""

from dataclasses import replace
from itertools import pairwise
from math import ceil

import pytest
import torch

from tests.support import small_networks
from wfn import compressed_file
from wfn.data import as_data
from wfn.errors import UserError
from wfn.interface import Epoch, Iteration, Step, ignore
from wfn.methods.cof_pwfn import ClusterOnTheFly, OneTraining
from wfn.runs.artifacts import write_files
from wfn.training.updates.clustered_on_the_fly import Schedule

QUICK = ClusterOnTheFly(iterations=3, epochs=2, clusterings=3, regularisation=2.0**-15, samples=2)
READINGS = ("permanent", "straight_through")


def compress(kind, method=QUICK, observe=ignore, **options):
    model = small_networks.build(kind)
    return model, method.compress(model, small_networks.data(), observe, **options)


def flat(weights):
    return torch.cat([weight.flatten() for weight in weights.values()])


@pytest.fixture(params=READINGS)
def method(request):
    return replace(QUICK, assign=request.param)


@pytest.mark.parametrize("kind", small_networks.KINDS)
def test_every_counted_weight_ends_on_a_value_of_the_codebook(kind, method):
    _, quantised = compress(kind, method)
    values, last = flat(quantised.weights), quantised.records[-1]
    assert last["share_fixed"] == 1
    assert len(values.unique()) == last["centres"] < len(values) / 4
    assert last["mean_move"] > 0 and last["mean_deviation"] > 0


@pytest.mark.parametrize("course", ["rounds", "cubic"])
def test_shares_are_met_as_the_run_goes_on(course, method):
    told = []
    method = replace(method, course=course)
    compress(
        "shared", method, lambda e: told.append(e.scores["share_fixed_by_epoch"]) if isinstance(e, Epoch) else None
    )
    assert told == sorted(told)
    done = [(epoch / 6) / 0.9 for epoch in range(1, 6)]
    if course == "cubic":
        assert told[:5] == pytest.approx([1 - (1 - d) ** 3 for d in done], abs=1e-3)
    else:
        ends = [0.0, *method.shares]
        expected = [ends[int(10 * d)] + (10 * d % 1) * (ends[int(10 * d) + 1] - ends[int(10 * d)]) for d in done]
        assert told[:5] == pytest.approx(expected, abs=1e-3)
    assert told[5:] in ([1.0], [])  # no epoch where nothing is left to train


def snapshots_of(method):
    found = []

    def observe(event):
        if isinstance(event, Iteration):
            found.append((event.scores.get("share_fixed", 0.0), flat(event.weights)))

    compress("shared", method, observe)
    return found


def test_permanent_values_never_change():
    snapshots = snapshots_of(QUICK)
    for share, weights in snapshots:
        assert int((weights == snapshots[-1][1]).sum()) >= round(share * len(weights))


def test_straight_through_weights_may_change_to_another_value():
    snapshots = snapshots_of(replace(QUICK, learning_rate=0.05, assign="straight_through"))
    share, weights = snapshots[2]
    assert int((weights == snapshots[-1][1]).sum()) < round(share * len(weights))


def test_what_comes_out_is_a_codebook_of_values_and_deviations(method):
    model = small_networks.build("convolutional")
    with torch.random.fork_rng():
        training = OneTraining(method, model, as_data(small_networks.data()), ignore, None)
        training.run_iterations()
    clustered = training.clustered
    means, deviations = clustered.shown()
    assert not clustered.free.any() and clustered.settled
    for index, centre in enumerate(clustered.codebook.centres):
        of_value = torch.from_numpy(clustered.codebook.assignment == index)
        assert set(means[of_value].tolist()) == {centre}
        assert deviations[of_value].unique().tolist() == [clustered.codebook_deviations()[index]]
        spread = torch.from_numpy(clustered.merged_from)[of_value].double().std(correction=0)
        assert deviations[of_value][0] == pytest.approx(float(spread), rel=1e-4, abs=1e-9)
    training.weights.release()


def test_deviations_can_be_permuted_or_made_equal_to_see_what_they_are_worth():
    own, permuted, common = (
        compress("convolutional", replace(QUICK, value_deviations=kind))[1] for kind in ("own", "permuted", "common")
    )
    assert torch.equal(flat(own.weights), flat(permuted.weights)) and torch.equal(
        flat(own.weights), flat(common.weights)
    )
    assert sorted(own.deviations.values()) == sorted(permuted.deviations.values())
    assert own.deviations != permuted.deviations
    (shared,) = set(common.deviations.values())
    squares = [own.deviations[value] ** 2 for value in flat(own.weights).tolist()]
    assert shared**2 == pytest.approx(sum(squares) / len(squares), rel=1e-5)
    inputs, _ = small_networks.images(seed=1)
    drawn = [[network(inputs).sum().item() for network in each.networks()] for each in (own, permuted, common)]
    assert len({number for each in drawn for number in each}) == 3 * QUICK.samples


def test_the_files_of_a_run_keep_the_deviations(tmp_path):
    model, quantised = compress("convolutional")
    before = {name: p.detach() for name, p in small_networks.build("convolutional").named_parameters()}
    write_files(tmp_path, before, quantised, [], {})
    contents = compressed_file.inspect(tmp_path / "fixed.wfn")
    found = dict(zip(contents.values.tolist(), contents.deviations.tolist(), strict=True))
    assert found == quantised.deviations
    assert found.keys() == set(flat(quantised.weights).unique().tolist())
    assert (tmp_path / "codebook.csv").read_text().splitlines()[0] == "value,order,weights,deviation"
    sample = compressed_file.load(tmp_path / "fixed.wfn", torch.Generator().manual_seed(0))
    model.load_state_dict(sample)
    assert not torch.equal(flat(dict(model.named_parameters())), flat(quantised.weights))


def test_batch_norm_that_is_left_alone_trains_on_after_all_is_fixed():
    snapshots = []

    def observe(event):
        if isinstance(event, Epoch):
            snapshots.append(model.get_parameter("1.weight").detach().clone())

    model = small_networks.build("convolutional")
    method = replace(QUICK, fix_batch_norm=False, iterations=20, epochs=1, learning_rate=0.01)
    quantised = method.compress(model, small_networks.data(), observe)
    assert len(snapshots) == 20
    assert not torch.equal(snapshots[18], snapshots[19])
    assert len(quantised.weights["1.weight"].unique()) > 4


# The default shape of a run: its nine parts of three epochs end in the midst of an epoch.
SHAPES = {
    "in an epoch": {"iterations": 9, "epochs": 3, "clusterings": 20},
    "after an epoch": {"iterations": 20, "epochs": 1},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_nothing_left_to_train_ends_the_training(shape, method):
    seen = []

    def observe(event):
        if isinstance(event, Step):
            seen.append((event.iteration, event.epoch, event.step, event.steps, flat(dict(model.named_parameters()))))

    model = small_networks.build("convolutional")
    method = replace(method, learning_rate=0.01, **shape)
    data = small_networks.images(), small_networks.images(count=90, seed=1)  # of three batches and of one
    quantised = method.compress(model, data, observe)
    whole = method.iterations * method.epochs * 3
    size, schedule = len(flat(quantised.weights)), Schedule(whole, 1, method.shares)
    last = next(step for step in range(1, whole + 1) if ceil(schedule.share(step) * size) == size)
    assert whole * 0.88 < last < whole * 0.92
    of_part = method.epochs * 3
    parts = range(1, method.iterations + 1)
    assert [record["training_steps"] for record in quantised.records] == [min(part * of_part, last) for part in parts]
    assert len(seen) == last and seen[-1][2] == seen[-1][3]
    assert all(not torch.equal(one[-1], other[-1]) for one, other in pairwise(seen))
    assert [record["iteration"] for record in quantised.records] == [*parts]


def test_where_all_that_are_free_are_merged_early_training_ends_as_it_does_when_resumed(tmp_path):
    """Frozen weights may be the last to merge; until then whole epochs would go on moving running statistics."""

    class CutError(Exception):
        pass

    def run(cut=0, **options):
        model, epochs = small_networks.build("convolutional"), []
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith("1."))

        def observe(event):
            if isinstance(event, Epoch):
                epochs.append(event)
                if len(epochs) == cut:
                    raise CutError

        method = ClusterOnTheFly(iterations=2, epochs=4, clusterings=4, deviation=0.02, samples=2, reestimate=False)
        return method.compress(model, small_networks.data(), observe, **options).model.state_dict(), len(epochs)

    uncut, epochs = run()
    assert epochs < 8
    for cut in range(1, epochs + 1):
        checkpoint = tmp_path / str(cut)
        with pytest.raises(CutError):
            run(cut, checkpoint=checkpoint)
        resumed, _ = run(checkpoint=checkpoint)
        assert all(torch.equal(uncut[name], resumed[name]) for name in uncut)


def test_a_step_without_a_free_weight_is_none_and_leaves_the_values():
    """Of a network with frozen weights, all that are free may be merged while others are still to be."""
    with torch.random.fork_rng():
        training = OneTraining(QUICK, small_networks.build("shared"), as_data(small_networks.data()), ignore, None)
        clustered = training.clustered
        clustered.cluster(1.0)
        assert clustered.steps_left == 0
        clustered.before(1)
        training.weights.values.grad = torch.zeros_like(training.weights.values)
        clustered.after(torch.zeros(()))
    assert clustered.steps == 0 and torch.equal(training.weights.values.data, clustered.means)
    training.weights.release()


def test_without_training_all_is_merged_at_once(method):
    _, quantised = compress("convolutional", replace(method, epochs=0))
    assert quantised.records[-1]["share_fixed"] == 1


def test_its_rows_say_that_it_is_a_reconstruction():
    assert all("reconstruction" in replace(QUICK, assign=assign).label for assign in READINGS)
    assert "without noise" in replace(QUICK, noise=False).label


@pytest.mark.parametrize(
    "change",
    [{"value_deviations": "none"}, {"samples": 0}, {"clusterings": 0}, {"iterations": 0}, {"course": "linear"},
     {"assign": "soft"}, {"shares": ()}, {"epochs": -1}, {"growth": 0.5}, {"clip_norm": 0.0}, {"regularisation": -1.0}],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(change):
    (name,) = change
    with pytest.raises(UserError, match=f"{name} must .*, but got"):
        replace(QUICK, **change)
