"""Baselines that are gone on with, and kept ones of another recipe, torn, or of another data set: trained anew."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from tests.support import small_networks
from wfn import networks
from wfn.data import as_data
from wfn.errors import UserError
from wfn.runs.settings import Settings
from wfn.runs.workload import prepare
from wfn.training.baseline import kept, recipe, trained_baseline
from wfn.training.checkpoint import Checkpoint

EPOCHS = 3


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WFN_CACHE", str(tmp_path))
    return tmp_path / "baselines"


@pytest.fixture
def lines(caplog):
    """What was told since the last look, a line each."""
    caplog.set_level(logging.INFO, "wfn")

    def told():
        messages = caplog.messages
        caplog.clear()
        return messages

    return told


@pytest.fixture(scope="module")
def data():
    return as_data(small_networks.data(), batch_size=50)


def initial():
    torch.manual_seed(0)
    dropout = nn.Dropout(0.2)  # so that what torch draws matters
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), dropout, nn.Flatten(), nn.Linear(64, 3))


def train(data, model=None, epochs=EPOCHS):
    model = model or initial()
    return model, trained_baseline(model, "tiny", data, seed=0, device="cpu", epochs=epochs)


def same(model, other):
    return all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


class CutOff(Exception):  # noqa: N818
    pass


class CutBatches:
    """Batches whose pass of that number ends in its midst, as a killed process would leave it."""

    def __init__(self, batches, number):
        self._batches, self._number, self.passes = batches, number, 0

    def __len__(self):
        return len(self._batches)

    def __iter__(self):
        self.passes += 1
        for batch in self._batches:
            yield batch
            if self.passes == self._number + 1:  # one before it looks at the batch's size
                raise CutOff


def cut_off(data, after):
    with pytest.raises(CutOff):
        train(replace(data, train=CutBatches(data.train, after + 1)))


@pytest.mark.parametrize("after", [1, 2])
@pytest.mark.parametrize("is_large", [False, True])  # of which squares are cut out at random
def test_training_that_was_cut_off_goes_on_and_ends_with_the_same_bits(
    data, cache, lines, monkeypatch, after, is_large
):
    monkeypatch.setattr(recipe, "LARGE", 1 if is_large else 10**9)
    whole, found = train(data)
    found.path.unlink()
    cut_off(data, after)
    assert [file.suffix for file in sorted(cache.iterdir())] == [".checkpoint", ".lock"]
    again, resumed = train(data)
    assert f"baseline: going on after epoch {after} of {EPOCHS}" in lines()
    assert same(whole, again) and resumed.curve == found.curve
    assert sorted(file.suffix for file in cache.iterdir()) == [".lock", ".safetensors"]


@pytest.mark.parametrize("damage", ["torn", "of another training", "of a shape that does not fit"])
def test_a_checkpoint_that_cannot_be_used_is_told_and_training_begins_anew(data, lines, damage):
    whole, found = train(data)
    found.path.unlink()
    cut_off(data, 1)
    checkpoint = found.path.with_suffix(".checkpoint")
    if damage == "torn":
        checkpoint.write_bytes(checkpoint.read_bytes()[:500])
    else:
        tensors, record = (file := Checkpoint(checkpoint)).load()
        if damage == "of another training":
            record["shaped_by"]["seed"] = 1
        else:
            tensors["moment.0.momentum_buffer"] = torch.zeros(1)
        file.save(tensors, record)
    again, _ = train(data)
    assert any(line.startswith("baseline: training from the beginning, for its checkpoint") for line in lines())
    assert same(whole, again) and not checkpoint.exists()


def test_the_curve_is_kept_with_the_network(data, trainings):
    _, found = train(data)
    assert [set(row) for row in found.curve] == [{"train_loss"}] * EPOCHS  # nothing is held back here
    _, again = train(data)
    assert len(trainings) == 1 and again.curve == found.curve


def test_looking_at_what_is_held_back_changes_no_bit(data):
    one, found = train(data)
    found.path.unlink()
    other, watched = train(replace(data, validation=data.test))
    assert same(one, other)
    assert set(watched.curve[0]) == {"train_loss", "held_back_top1", "held_back_loss"}


def test_a_kept_network_of_another_recipe_is_told_and_trained_anew(data, lines, monkeypatch, trainings):
    train(data)
    monkeypatch.setattr(recipe, "RECIPE", recipe.Recipe(peak_learning_rate=0.05))
    train(data)
    assert len(trainings) == 2
    assert any("is of another recipe (peak_learning_rate 0.1, now 0.05)" in line for line in lines())
    train(data)
    assert len(trainings) == 2


def test_of_several_kept_networks_the_most_alike_is_told(data, lines, monkeypatch):
    train(data, epochs=1)
    monkeypatch.setattr(recipe, "RECIPE", recipe.Recipe(version=2))
    train(data, epochs=2)
    lines()
    train(data, epochs=3)
    first = lines()[0]
    assert "another epochs (2, now 3)" in first and ";" not in first


def test_a_kept_network_of_another_seed_is_not_told(data, lines):
    train(data)
    lines()
    trained_baseline(initial(), "tiny", data, seed=1, device="cpu", epochs=EPOCHS)
    assert not any("training anew" in line for line in lines())


@pytest.mark.parametrize("content", ["network", "damage"])
def test_a_file_that_is_of_another_data_set_is_told_and_trained_anew(data, lines, content, trainings):
    whole, found = train(data)
    other = as_data((*small_networks.data()[:1], small_networks.data()[0]), batch_size=50)
    _, foreign = train(other)
    if content == "network":
        shutil.copy(foreign.path, found.path)
    else:
        found.path.write_bytes(b"")
    lines()
    again, _ = train(data)
    assert len(trainings) == 3 and same(whole, again)
    expected = "is of another data set" if content == "network" else "is torn"
    first = lines()[0]
    assert first.startswith("baseline: training anew, for ") and expected in first


def test_a_file_of_an_older_version_is_taken(data, trainings):
    whole, found = train(data)
    save_file(load_file(found.path), found.path)
    loaded, older = train(data)
    assert len(trainings) == 1 and same(whole, loaded) and older.curve == []


def test_large_networks_have_the_short_recipe():
    with torch.device("meta"):
        assert recipe.recipe_for(networks.build("resnet18_cifar", 10, (3, 32, 32))) is recipe.LARGE_RECIPE
        assert recipe.recipe_for(networks.build("resnet20_conv", 10, (3, 32, 32))) is recipe.RECIPE
    large = recipe.LARGE_RECIPE
    assert (large.epochs, large.peak_learning_rate, large.label_smoothing, large.cutout) == (20, 0.2, 0.1, 0.25)


def test_smoothed_labels_are_what_is_learnt_from(data, monkeypatch):
    _, plain = train(data, epochs=1)
    monkeypatch.setattr(recipe, "LARGE", 1)
    _, smoothed = train(data, epochs=1)
    assert plain.path != smoothed.path
    assert smoothed.curve[0]["train_loss"] > plain.curve[0]["train_loss"]


@pytest.mark.parametrize(("has", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_a_large_network_is_trained_in_bfloat16_where_the_processor_has_it(monkeypatch, has, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has})
    cpu = torch.device("cpu")
    assert recipe.precision_of(recipe.LARGE_RECIPE, cpu) == expected
    assert recipe.precision_of(recipe.RECIPE, cpu) == "float32"
    assert recipe.precision_of(recipe.RECIPE, torch.device("cuda")) == "bfloat16"


def test_a_device_without_the_memory_is_told_with_the_batch_size(data, monkeypatch, cache):
    def full(*arguments, **options):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has less.")

    model = initial()
    monkeypatch.setattr(model[0], "forward", full)
    with pytest.raises(UserError, match=r"^batch_size=50 needs more memory than the device has \(CUDA out of memory\)"):
        train(data, model)
    assert [file.suffix for file in cache.iterdir()] == [".lock"]


@pytest.mark.parametrize("steps", range(1, 12))
def test_a_training_may_have_as_few_steps_as_one_likes(steps):
    few = as_data(small_networks.data(count=50 * steps), batch_size=50, validation_share=0)
    _, found = train(few, epochs=1)
    assert len(few.train) == steps and found.curve[0]["train_loss"] < 10


def test_batches_may_be_dicts():
    parts = [{"x": inputs, "labels": labels} for inputs, labels in small_networks.data()]
    shape = kept.shaped_by(
        small_networks.build("convolutional"), "x", as_data(parts), seed=0, device=torch.device("cpu"), epochs=1
    )
    assert shape["batch size"] == len(next(iter(as_data(parts).train))["labels"])


def test_what_is_kept_says_what_shaped_it(data):
    _, found = train(data)
    shape, curve = kept._metadata(found.path)
    assert shape["recipe"]["peak_learning_rate"] == 0.1 and shape["epochs"] == EPOCHS
    assert shape["data"] == data.fingerprint and list(found.curve) == curve


def test_weights_that_know_the_images_held_back_are_told(cache, lines):
    def told(**changes):
        prepare(Settings(device="cpu", **changes))
        return [line for line in lines() if line.startswith("weights: ")]

    prepare(Settings(device="cpu", baseline_epochs=1))
    (path,) = map(str, cache.glob("*.safetensors"))
    assert told(weights=path) == told(weights=path, seed=1, validation_share=0) == []
    (line,) = told(weights=path, seed=1)
    assert "was trained here on other data, or with seed 0 on another part" in line and "has seed 1" in line
    (line,) = told(weights=path, validation_share=0.2)
    assert "may know images that are held back now" in line
    other = Path(path).with_name("without.safetensors")
    save_file(load_file(path), other)
    assert told(weights=str(other), seed=1) == []


@pytest.mark.parametrize("is_large", [True, False])
def test_squares_are_cut_out_of_what_a_large_network_learns_from_alone(data, monkeypatch, is_large):
    monkeypatch.setattr(recipe, "LARGE", 1 if is_large else 10**9)
    monkeypatch.setattr(recipe, "LARGE_RECIPE", replace(recipe.LARGE_RECIPE, cutout=0.5))
    seen = {True: [], False: []}  # by whether the network is in training mode
    model = initial()
    model.register_forward_pre_hook(lambda module, inputs: seen[module.training].append(inputs[0]))
    train(data, model, epochs=1)
    whole = [(image == 0).all(0).sum() for images, _ in data.train for image in images]
    assert max(whole) == 0  # so that every zero is one that was cut out
    zeros = torch.stack([(image == 0).all(0).sum() for images in seen[True] for image in images])
    assert bool(zeros.min() > 0) is is_large
    assert all((images != 0).any(1).all() for images in seen[False])
