import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from tests.support.oracles_data import crop_and_flip, normalise
from wfn import data
from wfn.data import as_data
from wfn.data.augmentation import CropAndFlip
from wfn.data.cifar10 import IMAGES_A_FILE, PIXELS
from wfn.data.in_memory import InMemoryBatches
from wfn.data.validation import validation_split
from wfn.errors import UserError
from wfn.system.fingerprint import fingerprint

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


def load(name, folder=None, **settings):
    return data.load(name, folder, **{"batch_size": 64, "validation_share": 0.1, "seed": 0, "device": "cpu"} | settings)


def images(count=10, channels=3, size=6):
    generator = torch.Generator().manual_seed(5)
    pixels = torch.randint(256, (count, channels, size, size), dtype=torch.uint8, generator=generator)
    return pixels, torch.arange(count) % 4


def passes(batches, seed):
    torch.manual_seed(seed)
    return [(inputs.clone(), labels.clone()) for inputs, labels in batches]


def equal(some, others):
    return len(some) == len(others) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(some, others, strict=True)
    )


# --- batches out of memory


def test_plain_batches_are_the_images_normalised_in_order():
    pixels, labels = images()
    batches = InMemoryBatches(pixels, labels, 4, mean=MEAN, std=STD)
    assert len(batches) == 3
    seen = list(batches)
    assert [len(y) for _, y in seen] == [4, 4, 2]
    inputs = torch.cat([x for x, _ in seen])
    expected = torch.stack([normalise(image, MEAN, STD) for image in pixels])
    assert inputs.dtype == torch.float32
    assert torch.allclose(inputs.double(), expected, atol=1e-6)
    assert torch.equal(torch.cat([y for _, y in seen]), labels)
    assert seen[0][0].is_contiguous(memory_format=torch.channels_last)
    assert seen[0][1].dtype == torch.int64


def test_a_plain_pass_draws_no_random_numbers():
    batches = InMemoryBatches(*images(), 4, mean=MEAN, std=STD)
    before = torch.get_rng_state()
    list(batches)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_random_pass_draws_one_seed_as_it_begins():
    batches = InMemoryBatches(*images(), 4, shuffle=True, augment=CropAndFlip(2, True))
    torch.manual_seed(1)
    torch.randint(2**63 - 1, ())
    after_one = torch.get_rng_state()
    torch.manual_seed(1)
    iterator = iter(batches)
    assert torch.equal(torch.get_rng_state(), after_one)
    list(iterator)
    assert torch.equal(torch.get_rng_state(), after_one)


def test_the_seed_settles_a_pass():
    batches = InMemoryBatches(*images(64), 16, mean=MEAN, std=STD, shuffle=True, augment=CropAndFlip(2, True))
    first = passes(batches, 1)
    assert equal(first, passes(batches, 1))
    assert not equal(first, passes(batches, 2))


def test_shuffling_loses_and_repeats_nothing():
    pixels, _ = images(50)
    seen = torch.cat([y for _, y in passes(InMemoryBatches(pixels, torch.arange(50), 16, shuffle=True), 3)])
    assert not torch.equal(seen, torch.arange(50))
    assert torch.equal(seen.sort().values, torch.arange(50))


def test_a_network_that_works_in_place_does_not_reach_the_data():
    inputs = torch.ones(4, 3)
    batches = InMemoryBatches(inputs, torch.zeros(4, dtype=torch.int64), 2)
    for batch, _ in batches:
        batch.zero_()
    assert torch.equal(torch.cat([x for x, _ in batches]), torch.ones(4, 3))


def test_whole_numbers_stay_for_token_networks():
    tokens = torch.arange(12).reshape(4, 3)
    assert torch.equal(next(iter(InMemoryBatches(tokens, torch.zeros(4, dtype=torch.int64), 4)))[0], tokens)


# --- augmentation


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 4), st.booleans(), st.integers(1, 9), st.tuples(*[st.integers(1, 7)] * 2), st.integers(0, 99))
def test_crops_and_flips_are_the_literal_ones(padding, flip, count, size, seed):
    pixels = torch.randint(1, 256, (count, 3, *size), dtype=torch.uint8)
    augmented = CropAndFlip(padding, flip)(pixels.permute(0, 2, 3, 1), torch.Generator().manual_seed(seed))
    draws = torch.Generator().manual_seed(seed)
    tops, lefts = torch.randint(2 * padding + 1, (2, count), generator=draws).tolist()
    mirrored = (torch.rand(count, generator=draws) < 0.5).tolist() if flip else [False] * count
    for image, result, top, left, mirror in zip(pixels, augmented, tops, lefts, mirrored, strict=True):
        assert torch.equal(result.permute(2, 0, 1), crop_and_flip(image, padding, top, left, mirror))


def test_every_shift_and_both_sides_occur_about_equally():
    image = torch.zeros(1, 5, 5, 1, dtype=torch.uint8)
    image[0, 2, 2], image[0, 2, 3] = 1, 2
    out = CropAndFlip(1, True)(image.expand(9000, -1, -1, -1), torch.Generator().manual_seed(0))[..., 0]
    where = (out == 1).flatten(1).int().argmax(1)
    counts = torch.bincount(where, minlength=25).reshape(5, 5)[1:4, 1:4]
    assert counts.sum() == 9000
    assert (counts - 1000).abs().max() < 150
    mirrored = (out.flatten(1).gather(1, where[:, None] - 1) == 2).float().mean()
    assert abs(mirrored - 0.5) < 0.03


# --- the validation share


@settings(max_examples=60, deadline=None)
@given(st.integers(10, 300), st.floats(0.1, 0.9), st.integers(0, 2**40))
def test_a_split_covers_all_and_shares_nothing(count, share, seed):
    kept, held_back = validation_split(count, share, seed)
    assert len(held_back) == round(count * share)
    assert torch.equal(torch.cat([kept, held_back]).sort().values, torch.arange(count))
    again = validation_split(count, share, seed)
    assert torch.equal(again[0], kept)
    assert torch.equal(again[1], held_back)


def test_another_seed_holds_others_back():
    assert not torch.equal(validation_split(100, 0.2, 0)[1], validation_split(100, 0.2, 1)[1])


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, float("nan")])
def test_a_share_outside_its_range(share):
    with pytest.raises(UserError, match="validation_share must lie in"):
        validation_split(100, share, 0)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_share_that_leaves_nothing(share):
    with pytest.raises(UserError, match="of 10 training inputs is"):
        validation_split(10, share, 0)


# --- digits


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


# --- CIFAR-10


@pytest.fixture
def tiny_cifar10(tmp_path, monkeypatch):
    """Files in the official layout, but of 20 images each."""
    monkeypatch.setattr("wfn.data.cifar10.IMAGES_A_FILE", 20)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    numbers = np.random.default_rng(0)
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        records = numbers.integers(256, size=(20, 1 + PIXELS), dtype=np.uint8)
        records[:, 0] = np.arange(20) % 10
        records.tofile(folder / name)
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


# --- ImageNet's layout


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


# --- a user's own


def pair(count=20, classes=3, shape=(4,)):
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, *shape, generator=generator), torch.arange(count) % classes


def loader(count=20, **form):
    return DataLoader(TensorDataset(*pair(count, **form)), batch_size=8, shuffle=True)


def test_data_is_taken_as_it_is():
    own = as_data((pair(), pair(10)))
    assert as_data(own) is own


def test_pairs_of_tensors():
    own = as_data((pair(20), pair(10)), batch_size=8)
    assert (len(own.train), own.validation, len(own.test)) == (3, None, 2)
    assert (own.classes, own.input_shape) == (3, (4,))
    assert torch.equal(torch.cat([x for x, _ in own.test]), pair(10)[0])
    assert not equal(passes(own.train, 0), passes(own.train, 1))


def test_a_validation_share_of_tensors():
    own = as_data((pair(20), pair(10)), validation_share=0.25, seed=1)
    assert [sum(len(y) for _, y in part) for part in (own.train, own.validation)] == [15, 5]


def test_loaders_and_tensors_together():
    train, test = loader(), pair(10)
    own = as_data((train, loader(8), test))
    assert own.train is train
    assert (own.classes, own.input_shape, len(own.validation)) == (3, (4,), 1)


def test_looking_at_loaders_draws_nothing_and_always_sees_the_same():
    before = torch.get_rng_state()
    own = as_data((loader(), loader(8)))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert as_data((loader(), loader(8))).fingerprint == own.fingerprint


def test_the_fingerprint_follows_the_content():
    inputs, labels = pair()
    changed = inputs.clone()
    changed[3, 2] += 1e-6
    before = as_data(((inputs, labels), pair(10))).fingerprint
    assert as_data(((inputs, labels), pair(10))).fingerprint == before
    assert as_data(((changed, labels), pair(10))).fingerprint != before
    assert fingerprint([torch.zeros(2, 3)]) != fingerprint([torch.zeros(3, 2)]) != fingerprint([torch.zeros(6)])


def with_label(value, dtype=torch.int64):
    inputs, labels = pair()
    labels = labels.to(dtype)
    labels[7] = value
    return inputs, labels


class Endless:
    def __iter__(self):
        yield pair()


@pytest.mark.parametrize(
    "value, message",
    [
        (3, r"is a int: it must be \(train, test\)"),
        ((pair(),), r"is a tuple: it must be \(train, test\)"),
        (pair(), "holds a bare tensor"),
        ((pair(), None), "no training or no test part"),
        ((pair(), 5), "test is a int"),
        ((pair(), (batch for batch in [pair()])), "test can be gone through only once"),
        ((Endless(), pair()), r"train does not tell its number of batches"),
        (([], pair()), "train is empty"),
        (((torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)), pair()), "train is empty"),
        (((torch.zeros(5, 0), torch.zeros(5, dtype=torch.int64)), pair()), "train is empty"),
        (((torch.zeros(5, 4), torch.zeros(6, dtype=torch.int64)), pair()), r"train has inputs \(5, 4\) for 6 labels"),
        (((torch.zeros(5), torch.zeros(5, dtype=torch.int64)), pair()), r"train has inputs \(5,\) for 5 labels"),
        (((torch.zeros(5, 4), torch.zeros(5)), pair()), "class numbers of an integer dtype"),
        (((torch.zeros(5, 4), torch.zeros(5, 1, dtype=torch.int64)), pair()), r"train has labels \(5, 1\)"),
        ((pair(shape=(4,)), pair(shape=(5,))), "inputs of different shapes"),
        ((with_label(-1), pair()), "train has the label -1"),
        ((pair(), [with_label(-100)]), "test has the label -100"),
        ((pair(), [with_label(1, torch.int32)]), r"test has labels of torch\.int32"),
        (([{"image": 3}], pair()), "a batch must be a pair of tensors"),
    ],
)
def test_data_of_a_wrong_form(value, message):
    with pytest.raises(UserError, match=message):
        as_data(value)


@pytest.mark.parametrize("part", [with_label(7), [with_label(7)]])
def test_labels_beyond_the_classes(part):
    with pytest.raises(UserError, match=r"has the label 7: for 3 classes it must be in 0\.\.2"):
        as_data((pair(), part), classes=3)


USERS_MODULE = """
import torch

def tensors(folder, validation_share=0.0, batch_size=1):
    assert validation_share == 0.1
    return (torch.zeros(30, 4), torch.arange(30) % 3), (torch.ones(6, 4), torch.arange(6) % 3)

def nothing():
    return None
"""


@pytest.fixture
def users_module(tmp_path, monkeypatch):
    (tmp_path / "users_data.py").write_text(USERS_MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("users_data", None)


def test_a_users_own_function(users_module):
    own = load("users_data:tensors", batch_size=10)
    assert (own.name, own.classes) == ("users_data:tensors", 3)
    assert [len(part) for part in (own.train, own.validation, own.test)] == [3, 1, 1]


@pytest.mark.parametrize(
    "name, message",
    [
        ("users_data:nothing", "'users_data:nothing' is a NoneType"),
        ("users_data:absent", "holds no function absent"),
        ("no_such_module:f", "importing no_such_module failed"),
        ("digit", r"unknown data set 'digit': did you mean digits.*package\.module:function"),
    ],
)
def test_a_data_set_that_cannot_be_had(users_module, name, message):
    with pytest.raises(UserError, match=message):
        load(name)


def test_a_batch_size_of_nothing():
    with pytest.raises(UserError, match="batch_size must be at least 1"):
        load("digits", batch_size=0)
