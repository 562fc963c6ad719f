"""A user's own data: pairs of tensors, loaders, a function; and every wrong form of them."""

import sys

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tests.support.datasets import equal, load, passes
from wfn.data import as_data
from wfn.errors import UserError
from wfn.system.fingerprint import by_name, fingerprint


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


def test_named_tensors_are_told_by_name_in_whatever_order():
    one, other = torch.zeros(2), torch.ones(2)
    expected = fingerprint(["a", one, "b", other])
    assert fingerprint(by_name({"b": other, "a": one})) == fingerprint(by_name({"a": one, "b": other})) == expected
    assert fingerprint(by_name({"b": one, "a": other})) != expected


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


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_parts_whose_inputs_have_other_numbers_of_labels_are_refused(task):
    parts = [(torch.randn(8, 4), torch.ones(8, labels)) for labels in (3, 2)]
    with pytest.raises(UserError, match=r"other numbers of labels an input in its parts: \{'train': 3, 'test': 2\}"):
        as_data(tuple(parts), task=task)
