"""Corrupted images: made here, the same each time and worse with severity; or those of CIFAR-10-C."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from wfn import data
from wfn.data.corrupted import SEVERITIES, cifar10_c, corrupted_sets
from wfn.data.corrupted.made_here import STRENGTHS, corrupted
from wfn.errors import UserError


def pictures(channels, size, count=24):
    """Smooth pictures with an edge, uint8."""
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    slopes = torch.rand(2, count, channels, 1, 1, generator=generator)
    edges = torch.rand(count, 1, 1, 1, generator=generator)
    light = (slopes[0] * rows + slopes[1] * columns) / 2 + 0.3 * (columns > edges)
    return (200 * light).to(torch.uint8)


def digits():
    return data.load("digits", None, batch_size=64, validation_share=0.1, seed=0, device="cpu")


@pytest.mark.parametrize("name", STRENGTHS)
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 32), (1, 2)])
def test_images_keep_their_form_and_are_the_same_each_time(name, channels, size):
    images = pictures(channels, size)
    kept = images.clone()
    for severity in SEVERITIES:
        found = corrupted(images, name, severity)
        assert found.dtype == torch.uint8 and found.shape == images.shape
        assert torch.equal(found, corrupted(images, name, severity))
    assert torch.equal(images, kept)


@pytest.mark.parametrize("name", STRENGTHS)
def test_the_worst_severity_is_the_furthest_from_the_image(name):
    images = pictures(3, 32)
    far = [(corrupted(images, name, severity).double() - images).square().mean().item() for severity in SEVERITIES]
    assert 0 < far[0] < far[-1] == max(far)


def test_contrast_and_brightness_do_what_they_are_called():
    images = pictures(1, 8).double()
    flat = corrupted(images.to(torch.uint8), "contrast", 5).double()
    torch.testing.assert_close(flat.std((1, 2, 3)), 0.15 * images.std((1, 2, 3)), rtol=0.1, atol=0)
    torch.testing.assert_close(flat.mean((1, 2, 3)), images.mean((1, 2, 3)), rtol=0, atol=1)
    assert corrupted(images.to(torch.uint8), "brightness", 3).double().mean() > 1.5 * images.mean()


def test_sets_are_of_the_first_images_normalised_as_the_clean_ones(tmp_path):
    loaded = digits()
    origin, sets = corrupted_sets(loaded, tmp_path, 50)
    assert origin == "like CIFAR-10-C"
    assert [(each.corruption, each.severity) for each in sets] == [(n, s) for n in STRENGTHS for s in SEVERITIES]
    clean_inputs, clean_labels = next(iter(loaded.test))
    inputs, labels = next(iter(sets[0].batches()))
    assert len(sets[0].batches().labels) == 50 and torch.equal(labels, clean_labels[:50])
    assert 0 < (inputs - clean_inputs[:50]).abs().mean() < 0.3
    assert len(corrupted_sets(loaded, tmp_path, 10**6)[1][0].batches().labels) == 360


def test_data_that_cannot_be_corrupted_are_refused_in_one_line(tmp_path):
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.rand(8, 1, 4, 4), torch.arange(8)))
    for unfit in (
        replace(digits(), test=loader),
        data.as_data([(torch.rand(8, 1, 4, 4), torch.arange(8))] * 2),
        data.as_data([(torch.zeros(8, 2, 4, 4, dtype=torch.uint8), torch.arange(8))] * 2),
    ):
        with pytest.raises(UserError, match="corrupted images are made of 8-bit images") as refused:
            corrupted_sets(unfit, tmp_path, 8)
        assert "\n" not in str(refused.value) and "leave out --corrupted" in str(refused.value)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A folder laid out as CIFAR-10-C is, of 20 images a severity."""
    monkeypatch.setattr(cifar10_c, "IMAGES", 20)
    folder = tmp_path / cifar10_c.FOLDER
    folder.mkdir()
    for number, name in enumerate(cifar10_c.CORRUPTIONS):
        images = np.repeat(np.arange(1, 6, dtype=np.uint8), 20)[:, None, None, None] * 10 + number
        np.save(folder / f"{name}.npy", np.broadcast_to(images, (100, 32, 32, 3)))
    np.save(folder / "labels.npy", np.tile(np.arange(20) % 10, 5).astype(np.uint8))
    return folder


def cifar10():
    images = torch.zeros(20, 3, 32, 32, dtype=torch.uint8)
    return data.as_data([(images, torch.arange(20) % 10)] * 2, name="cifar10")


def test_cifar10_c_is_read_where_it_lies(archive):
    origin, sets = corrupted_sets(cifar10(), archive.parent, 12)
    assert origin == "CIFAR-10-C" and len(sets) == 15 * 5
    frost = next(each for each in sets if (each.corruption, each.severity) == ("frost", 4))
    inputs, labels = next(iter(frost.batches()))
    assert inputs.shape == (12, 3, 32, 32) and labels.tolist() == [*range(10), 0, 1]
    assert torch.allclose(inputs, torch.tensor((40 + cifar10_c.CORRUPTIONS.index("frost")) / 255))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "labels.npy").unlink(), "lacks labels.npy:"),
        (lambda folder: [(folder / f"{name}.npy").unlink() for name in ("fog", "snow")], "lacks snow.npy and 1 more"),
        (lambda folder: (folder / "fog.npy").write_bytes(b"no array"), "fog.npy is no sound file of NumPy"),
        (lambda folder: np.save(folder / "fog.npy", np.zeros((5, 3))), "fog.npy holds float64 of"),
    ],
    ids=["labels", "several", "damaged", "form"],
)
def test_an_incomplete_or_damaged_archive_is_refused_in_one_line(archive, damage, message):
    damage(archive)
    with pytest.raises(UserError, match=message) as refused:
        corrupted_sets(cifar10(), archive.parent, 12)
    assert "\n" not in str(refused.value)


def test_other_data_do_not_look_for_the_archive(archive):
    (archive / "labels.npy").unlink()
    assert corrupted_sets(digits(), archive.parent, 12)[0] == "like CIFAR-10-C"
