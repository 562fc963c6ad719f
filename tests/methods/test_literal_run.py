"""A whole run of weight fixing, its options off their defaults, against the same written out as the paper has it."""

import copy

import pytest
import torch
from torch import nn

from tests.support import small_networks
from tests.support.oracles_weight_fixing import LiteralFixing
from wfn.data import as_data
from wfn.interface import Epoch, Iteration
from wfn.methods.weight_fixing import WeightFixing

METHOD = WeightFixing(
    delta=0.03, alpha=0.7, threshold=2.0**-4, temperature=0.2, shares=(0.4, 0.75, 1.0), epochs=2, learning_rate=4e-3,
    clip_norm=0.2, value_epochs=3,
)  # fmt: skip


def test_every_epoch_and_iteration_ends_where_it_does_written_out():
    torch.manual_seed(0)  # no bias before the batch-norm: of its gradient, zero, Adam would make steps of rounding
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    model.eval()  # as one hands over a trained network
    inputs, labels = small_networks.images(count=80, shape=(3, 2, 2))
    batches = [*zip(inputs.split(20), labels.split(20), strict=True)]  # in one order
    expected = LiteralFixing(other := copy.deepcopy(model), batches, METHOD)
    epochs, iterations = [], []

    def observe(event):
        flat = torch.cat([weight.detach().flatten() for weight in model.parameters()])
        if isinstance(event, Epoch):
            epochs.append((event.scores, flat))
        elif isinstance(event, Iteration) and event.number:
            iterations.append((event.scores, flat))

    METHOD.compress(model, as_data((batches, batches)), observe)
    assert [len(epochs), len(iterations)] == [9, 4]
    for found, as_written in ((epochs, expected.epochs), (iterations, expected.iterations)):
        for (scores, weights), (scores_written, weights_written) in zip(found, as_written, strict=True):
            torch.testing.assert_close(weights, weights_written, rtol=1e-4, atol=2e-6)
            assert {name: scores[name] for name in scores_written} == pytest.approx(scores_written, rel=1e-3)
    assert all(scores["penalty"] > 0 for scores, _ in epochs[2:6])
    for name, buffer in other.named_buffers():
        torch.testing.assert_close(model.get_buffer(name), buffer, rtol=1e-4, atol=1e-6)
