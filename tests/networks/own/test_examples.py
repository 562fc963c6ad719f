"""A few inputs of a batch, where a network takes them alone."""

import pytest
import torch
from torch import nn

from tests.support import small_networks
from wfn.methods.rounding import PowerOfTwoRounding
from wfn.networks.own.examples import few


class Counting(nn.Module):
    """Counts the passes of each number of inputs, and takes ``least`` of them or more."""

    def __init__(self, least=1):
        super().__init__()
        self.least, self.passes = least, []
        self.layer = nn.Linear(72, 3)

    def forward(self, inputs):
        self.passes.append(len(inputs))
        if len(inputs) < self.least:
            raise ValueError("too few")
        return self.layer(inputs.flatten(1))


@pytest.mark.parametrize(("least", "taken", "passes"), [(1, 2, [2]), (5, 8, [2, 8])])
def test_what_it_takes_is_found_out_once(least, taken, passes):
    model, batch = Counting(least), torch.randn(8, 2, 6, 6)
    assert [len(few(model, batch, 2)) for _ in range(3)] == [taken] * 3
    assert model.passes == passes
    few(model, batch.double().float()[:7], 2)
    assert model.passes == passes  # a batch of another size is of the same form


def test_another_count_and_another_form_are_found_out_anew():
    model, batch = Counting(least=2), torch.randn(8, 2, 6, 6)
    assert len(few(model, batch, 2)) == 2 and len(few(model, batch, 1)) == 8
    assert len(few(model, batch.flatten(1), 2)) == 2
    assert model.passes == [2, 1, 8, 2]


def test_where_it_takes_neither_nothing_is_noted():
    model, batch = Counting(least=9), torch.randn(8, 2, 6, 6)
    assert len(few(model, batch, 2)) == 2
    model.least = 1
    assert len(few(model, batch, 2)) == 2 and model.passes == [2, 8, 2]


def test_a_batch_of_so_many_needs_no_pass():
    model = Counting(least=9)
    assert len(few(model, torch.randn(2, 72), 2)) == 2 and not model.passes


def test_a_method_finds_it_out_once_for_each_count():
    model, seen = Counting(), []
    model.register_forward_hook(lambda module, inputs, outputs: seen.append(len(inputs[0])))
    PowerOfTwoRounding().compress(model, small_networks.data())
    # Of two inputs: one pass here, one in each check of the task. Of one: here, and those that are watched.
    assert seen.count(2) == 1 + 2 and seen.count(1) == 1 + 4
