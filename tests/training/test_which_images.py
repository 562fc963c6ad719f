"""Which images are read: training images where anything is learned, anew in each epoch; test images settle nothing."""

from dataclasses import replace

import pytest
import torch

from tests.support import small_networks
from tests.support.separate_parts import Unread, parts, percent_correct, separate
from wfn.interface import Epoch
from wfn.methods.uniform import UniformRounding
from wfn.methods.weight_fixing import WeightFixing
from wfn.training.baseline import trained_baseline
from wfn.training.layer_scales import sensitivities

WEIGHTS = ("0.weight", "9.weight")


def test_sensitivities_are_those_of_training_images():
    model, data = small_networks.build("convolutional"), separate()
    data = replace(data, train=[*data.train])  # in one order
    read = sensitivities(model, replace(data, validation=Unread(), test=Unread()), WEIGHTS)
    others = sensitivities(model, replace(data, train=[*data.validation]), WEIGHTS)
    assert read == sensitivities(model, data, WEIGHTS) != others


@pytest.mark.parametrize("method", [
    UniformRounding(step=2**-4, reestimate=True),
    WeightFixing(delta=0.05, shares=(1.0,), epochs=0, reestimate=True),
], ids=["rounding", "stages"])  # fmt: skip
def test_statistics_taken_anew_are_those_of_training_images(method):
    """Four batches of one size: the mean of their means is the mean of all, in whatever order they come."""
    model = method.compress(small_networks.build("convolutional"), separate()).model
    convolved = model[0](parts()[0][0])
    torch.testing.assert_close(model[1].running_mean, convolved.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_scores_of_an_epoch_are_of_images_held_back():
    model, (_, validation, test), pairs = small_networks.build("convolutional"), parts(), []

    def observe(event):
        if isinstance(event, Epoch):
            pairs.append((event.scores["held_back_top1"], percent_correct(model, validation)))
            assert pairs[-1][0] != percent_correct(model, test)

    WeightFixing(delta=0.05, shares=(0.5, 1.0), epochs=1, learning_rate=1e-2).compress(model, separate(), observe)
    assert len(pairs) == 2 and all(score == pytest.approx(own) for score, own in pairs)


def test_a_baselines_curve_is_of_images_held_back(tmp_path, monkeypatch):
    monkeypatch.setenv("WFN_CACHE", str(tmp_path))
    model, (_, validation, _) = small_networks.build("convolutional"), parts()
    data = replace(separate(), test=Unread())
    (row,) = trained_baseline(model, "convolutional", data, seed=0, device="cpu", epochs=1).curve
    assert row["held_back_top1"] == pytest.approx(percent_correct(model, validation))


class Told:
    """Batches that keep the first labels of every batch, pass by pass."""

    def __init__(self, batches):
        self.batches, self.passes = batches, []

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        self.passes.append(labels := [])
        for batch in self.batches:
            labels.append(batch[1][:9].tolist())
            yield batch


def test_no_epoch_of_any_iteration_has_the_batches_of_another():
    data, ended = separate(), []
    told = Told(data.train)
    method = WeightFixing(delta=0.05, shares=(0.5, 1.0), epochs=2, learning_rate=1e-3)
    observe = lambda event: ended.append(told.passes[-1]) if isinstance(event, Epoch) else None  # noqa: E731
    method.compress(small_networks.build("convolutional"), replace(data, train=told), observe)
    assert len(ended) == 4 == len({str(labels) for labels in ended})
