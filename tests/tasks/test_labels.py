"""Labels that are missing, or that the task cannot be of: one line before anything starts."""

import math

import pytest
import torch

from wfn import as_data
from wfn.errors import UserError


def numbers(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("labels", "found"), [([[-1.0, 1.0]], "-1"), ([[0.0, 2.0]], "2"), ([[1, 0], [3, 1]], "3")])
def test_labels_of_several_that_are_not_from_0_to_1_are_refused(labels, found):
    labels = torch.tensor(labels).repeat(4, 1)
    with pytest.raises(UserError, match=f"labels of task 'multi_label' must be from 0 to 1, .* but one is {found}"):
        as_data([(numbers(len(labels), 4), labels)] * 2, task="multi_label")


@pytest.mark.parametrize("task", ["multi_label", "regression", "segmentation", "classification"])
@pytest.mark.parametrize(
    ("part", "found"),
    [
        (numbers(8, 4), "bare tensor"),
        ([numbers(8, 4)], "none"),
        ({"x": numbers(8, 4), "y": numbers(8)}, "none"),
        ([(numbers(2, 4), [0, 1])], "a list"),
    ],
)
def test_labels_that_are_missing_are_told(task, part, found):
    told = rf"(holds a|there is) {found}: (it must be \(train, test\)|give pairs of tensors)"
    with pytest.raises(UserError, match=told):
        as_data((part, part), task=task)


def test_infinite_labels_are_refused():
    inputs, labels = numbers(8, 4), numbers(8)
    labels[3] = math.inf
    with pytest.raises(UserError, match="train has infinity in its labels"):
        as_data(((inputs, labels), (inputs, labels)), task="regression")


def test_labels_of_which_none_counts_are_refused():
    some, none = (numbers(4, 3, 2, 2), torch.zeros(4, 2, 2).long()), (numbers(4, 3, 2, 2), torch.full((4, 2, 2), 255))
    with pytest.raises(UserError, match="'own', test has no label that counts: all of them say to be ignored"):
        as_data((some, none), task="segmentation")
    assert as_data(([some, none], [none, some]), task="segmentation").classes == 1
