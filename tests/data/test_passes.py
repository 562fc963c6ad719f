"""Passes over a part of the batches."""

import torch
from torch.utils.data import DataLoader, TensorDataset

from wfn.data.in_memory import InMemoryBatches
from wfn.data.passes import FirstBatches, moved


def labels_of(batches):
    return [labels.tolist() for _, labels in batches]


def test_the_first_batches_are_those_of_a_whole_pass():
    batches = InMemoryBatches(torch.zeros(10, 1), torch.arange(10), 4)
    assert len(FirstBatches(batches, 2)) == 2
    assert labels_of(FirstBatches(batches, 2)) == labels_of(batches)[:2] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(FirstBatches(batches, 9)) == 3
    assert labels_of(FirstBatches(batches, 9)) == labels_of(batches)


def test_a_network_that_works_in_place_does_not_reach_the_data():
    batches = [(torch.ones(2, 3), {"more": torch.ones(2)})]
    for _ in range(2):
        ((inputs, others),) = moved(batches, torch.device("cpu"))
        assert inputs.sum() == 6 and others["more"].sum() == 2
        inputs.zero_()
        others["more"].zero_()


def test_of_shuffled_batches_every_pass_has_others():
    numbers = TensorDataset(torch.zeros(100, 1), torch.arange(100))
    for batches in (
        InMemoryBatches(torch.zeros(100, 1), torch.arange(100), 10, shuffle=True),
        DataLoader(numbers, 10, shuffle=True),
    ):
        first = FirstBatches(batches, 1)
        assert labels_of(first) != labels_of(first)
