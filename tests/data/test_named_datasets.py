"""The data sets that are had by name: digits, CIFAR-10 and ImageNet's layout."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.datasets import equal, load, passes
from tests.support.oracles_data import normalise
from wfn import data
from wfn.data.named.cifar10 import IMAGES_A_FILE, PIXELS, SHA256
from wfn.data.named.digits import FILE
from wfn.errors import UserError


def test_a_data_set_by_name_is_a_line_in_the_table(monkeypatch):
    given, digits = {}, load("digits")

    def mine(folder, **settings):
        given.update(settings, folder=folder)
        return digits

    monkeypatch.setitem(data._DATA_SETS, "mine", ("Mine", mine))
    assert load("mine", "here", workers=2, skip_broken=True) is digits
    assert "mine" in data.names() and data.title("mine") == "Mine"
    assert given == {"folder": "here", "batch_size": 64, "validation_share": 0.1, "seed": 0, "device": "cpu",
                     "workers": 2, "skip_broken": True}  # fmt: skip


def test_digits():
    digits = load("digits")
    counts = [sum(len(y) for _, y in part) for part in (digits.train, digits.validation, digits.test)]
    assert counts == [1293, 144, 360]
    assert (digits.name, digits.input_shape, digits.classes) == ("digits", (1, 8, 8), 10)
    inputs, labels = next(iter(digits.test))
    assert inputs.shape == (64, 1, 8, 8)
    assert labels.dtype == torch.int64
    everything = torch.cat([x for x, _ in digits.test])
    assert abs(everything.mean()) < 0.05
    assert abs(everything.std() - 1) < 0.05


def test_the_file_of_digits_is_what_scikit_learn_gives():
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    train, test = train_test_split(range(len(bunch.target)), test_size=0.2, stratify=bunch.target, random_state=0)
    with np.load(FILE) as arrays:
        assert np.array_equal(arrays["images"], bunch.images) and np.array_equal(arrays["labels"], bunch.target)
        assert arrays["train"].tolist() == train and arrays["test"].tolist() == test


def test_digits_are_split_by_seed_but_for_the_test_images():
    some, others, again = load("digits"), load("digits", seed=1), load("digits")
    assert equal(list(some.test), list(others.test))
    assert not equal(list(some.validation), list(others.validation))
    assert equal(list(some.validation), list(again.validation))
    assert some.fingerprint == again.fingerprint != others.fingerprint


def test_digits_test_images_are_stratified():
    labels = torch.cat([y for _, y in load("digits").test])
    assert (labels.bincount() - 36).abs().max() <= 1


def test_no_validation_share_no_validation():
    assert load("digits", validation_share=0).validation is None


@pytest.fixture
def tiny_cifar10(tmp_path, monkeypatch):
    """Files in the official layout, but of 20 images each."""
    monkeypatch.setattr("wfn.data.named.cifar10.IMAGES_A_FILE", 20)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    numbers = np.random.default_rng(0)
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        records = numbers.integers(256, size=(20, 1 + PIXELS), dtype=np.uint8)
        records[:, 0] = np.arange(20) % 10
        records.tofile(folder / name)
        monkeypatch.setitem(SHA256, name, hashlib.sha256(records).hexdigest())
    return tmp_path


def test_cifar10_from_the_binary_files(tiny_cifar10):
    cifar10 = load("cifar10", tiny_cifar10, batch_size=20)
    counts = [sum(len(y) for _, y in part) for part in (cifar10.train, cifar10.validation, cifar10.test)]
    assert counts == [90, 10, 20]
    record = np.fromfile(tiny_cifar10 / "cifar-10-batches-bin" / "test_batch.bin", np.uint8)[1 : 1 + PIXELS]
    red_green_blue = torch.from_numpy(record).reshape(3, 32, 32)
    expected = normalise(red_green_blue, (0.491, 0.482, 0.447), (0.247, 0.243, 0.262))
    assert torch.allclose(next(iter(cifar10.test))[0][0].double(), expected, atol=1e-5)


def test_the_data_folder_comes_from_the_environment(tiny_cifar10, monkeypatch):
    monkeypatch.setenv("WFN_DATA", str(tiny_cifar10))
    assert load("cifar10").fingerprint == load("cifar10", tiny_cifar10).fingerprint


@pytest.mark.parametrize("damage", ["truncated", "empty", "missing", "too long"])
def test_a_damaged_binary_file(tiny_cifar10, damage):
    file = tiny_cifar10 / "cifar-10-batches-bin" / "data_batch_3.bin"
    whole = file.read_bytes()
    file.write_bytes({"truncated": whole[:-7], "empty": b"", "missing": b"", "too long": whole + b"x"}[damage])
    if damage == "missing":
        file.unlink()
    with pytest.raises(UserError, match=r"data_batch_3\.bin has \d+ bytes, a CIFAR-10 file has 61460: delete"):
        load("cifar10", tiny_cifar10)


def test_a_binary_file_of_the_right_size_with_other_content_is_named(tiny_cifar10):
    file = tiny_cifar10 / "cifar-10-batches-bin" / "data_batch_4.bin"
    whole = file.read_bytes()
    load("cifar10", tiny_cifar10)
    file.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))  # half of it lost
    with pytest.raises(UserError, match=r"data_batch_4\.bin is not CIFAR-10's \(its SHA-256 is another\): delete"):
        load("cifar10", tiny_cifar10)


def test_a_label_out_of_range_in_a_binary_file(tiny_cifar10):
    file = tiny_cifar10 / "cifar-10-batches-bin" / "test_batch.bin"
    file.write_bytes(b"\x0a" + file.read_bytes()[1:])
    with pytest.raises(UserError, match=r"test_batch\.bin holds the label 10"):
        load("cifar10", tiny_cifar10)


def test_no_cifar10_and_no_way_to_get_it(tmp_path, monkeypatch):
    def unreachable(*args, **kwargs):
        raise OSError("no route")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", unreachable)
    with pytest.raises(UserError, match=r"no CIFAR-10 in .*no route.*unpack https.*WFN_DATA"):
        load("cifar10", tmp_path / "nothing here")


def test_the_python_files_are_checked_before_they_are_unpickled(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"anything")
    with pytest.raises(UserError, match="cifar-10-batches-py is damaged"):
        load("cifar10", tmp_path)


def test_the_python_files_give_the_same_images(tiny_cifar10, monkeypatch):
    """torchvision's data set holds (count, height, width, channels); ours comes out as from the binary files."""

    class FromBinary:
        base_folder, url = "cifar-10-batches-py", ""

        def __init__(self, root, train, download):
            names = [f"data_batch_{i}.bin" for i in range(1, 6)] if train else ["test_batch.bin"]
            files = [np.fromfile(tiny_cifar10 / "kept" / name, np.uint8).reshape(-1, 1 + PIXELS) for name in names]
            table = np.concatenate(files)
            self.data = table[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            self.targets = table[:, 0].tolist()

    binary = load("cifar10", tiny_cifar10)
    (tiny_cifar10 / "cifar-10-batches-bin").rename(tiny_cifar10 / "kept")
    monkeypatch.setattr("torchvision.datasets.CIFAR10", FromBinary)
    assert load("cifar10", tiny_cifar10).fingerprint == binary.fingerprint


def test_the_real_cifar10(cifar10_folder):
    assert IMAGES_A_FILE == 10_000
    cifar10 = load("cifar10", cifar10_folder, batch_size=1000)
    assert [len(part) for part in (cifar10.train, cifar10.validation, cifar10.test)] == [45, 5, 10]
    labels = torch.cat([y for _, y in cifar10.test])
    assert labels.bincount().tolist() == [1000] * 10
    assert labels[:8].tolist() == [3, 8, 8, 0, 6, 6, 1, 6]


@pytest.fixture
def tiny_imagenet(tmp_path):
    numbers = np.random.default_rng(0)
    for part, count in (("train", 10), ("val", 3)):
        for name in ("n01", "n02"):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = numbers.integers(256, size=(40, 60, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.JPEG")
    return tmp_path


@pytest.mark.parametrize("workers", [0, 1])
def test_imagenet(tiny_imagenet, workers):
    imagenet = load("imagenet", tiny_imagenet, batch_size=4, validation_share=0.2, workers=workers)
    assert (imagenet.classes, imagenet.input_shape) == (2, (3, 224, 224))
    counts = [sum(len(y) for _, y in part) for part in (imagenet.train, imagenet.validation, imagenet.test)]
    assert counts == [16, 4, 6]
    inputs, labels = next(iter(imagenet.train))
    assert inputs.shape == (4, 3, 224, 224)
    assert inputs.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert equal(passes(imagenet.train, 3), passes(imagenet.train, 3))
    assert equal(passes(imagenet.validation, 3), passes(imagenet.validation, 4))


def test_imagenets_test_images_are_squeezed_to_a_square_first(tiny_imagenet):
    for file in (tiny_imagenet / "val").rglob("*.JPEG"):
        pixels = np.zeros((64, 256, 3), np.uint8)
        pixels[:, :64] = 255  # the left quarter is white: 64 columns of 256, of which the crop cuts 16 off
        Image.fromarray(pixels).save(file, quality=100)
    image = next(iter(load("imagenet", tiny_imagenet, batch_size=1).test))[0][0]
    white = (image[0] > 0).float().mean()
    assert abs(float(white) - (64 - 16) / 224) < 0.01


def test_imagenets_fingerprint_follows_the_files(tiny_imagenet):
    before = load("imagenet", tiny_imagenet).fingerprint
    assert load("imagenet", tiny_imagenet).fingerprint == before
    (tiny_imagenet / "val" / "n01" / "0.JPEG").rename(tiny_imagenet / "val" / "n01" / "9.JPEG")
    assert load("imagenet", tiny_imagenet).fingerprint != before


@pytest.mark.parametrize("missing", [".", "train", "val", "val/n02"])
def test_imagenet_that_is_not_there(tiny_imagenet, missing):
    (tiny_imagenet / missing).rename(tiny_imagenet.parent / f"{tiny_imagenet.name} moved away")
    with pytest.raises(UserError, match=r"holds no images in folders.*image-net\.org|class folders.*differ \(n02\)"):
        load("imagenet", tiny_imagenet)


def test_a_batch_size_of_nothing():
    with pytest.raises(UserError, match="batch_size must be at least 1"):
        load("digits", batch_size=0)
