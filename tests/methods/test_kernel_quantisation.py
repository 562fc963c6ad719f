"""Kernel quantisation as a method: which kernels are shared, in which order, on which grid."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.support import small_networks
from wfn import networks
from wfn.codebooks.quantisers.vectors import vector_k_means
from wfn.errors import UserError
from wfn.interface import Iteration, Step
from wfn.methods import kernel_quantisation
from wfn.methods.kernel_quantisation import KernelQuantisation

QUICK = KernelQuantisation(
    entries_share=1.0, index_bits=2, parameter_bits=4, shares=(0.5, 1.0), epochs=2, learning_rate=1e-3
)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, (2, 3), bias=False), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Conv2d(6, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip


def compress(method=QUICK, model=None, observe=lambda event: None):
    return method.compress(network() if model is None else model, small_networks.data(), observe)


def kernels(weight):
    return weight.flatten(2).flatten(0, 1) if weight.dim() > 2 else weight.reshape(-1, 1)


def test_kernels_are_few_and_their_numbers_are_on_a_grid():
    weights = compress().weights
    for name in ("0.weight", "2.weight"):
        assert len(kernels(weights[name]).unique(dim=0)) <= 4
    for name in ("0.weight", "2.weight", "5.weight", "8.weight"):
        steps = weights[name] / (weights[name].abs().max() / 7)
        torch.testing.assert_close(steps, steps.round(), atol=1e-4, rtol=0)
        assert len(weights[name].unique()) <= 15
    assert len(weights["3.weight"].unique()) == 6 and len(weights["8.bias"].unique()) == 3


def test_the_nearest_kernels_are_fixed_first_and_stay():
    """One layer without training, held against every distance, one kernel at a time."""
    method, iterations = replace(QUICK, shares=(0.25, 0.5, 1.0), epochs=0), []
    compress(method, observe=lambda event: iterations.append(event) if isinstance(event, Iteration) else None)
    before = kernels(iterations[0].weights["2.weight"]).numpy()
    codebook, _ = vector_k_means(before, 4, method.seed)
    every = np.square(before[:, None].astype(float) - codebook[None].astype(float)).sum(2)
    order = sorted(range(len(before)), key=lambda number: every[number].min())
    for iteration, count in zip(iterations[1:3], (9, 18), strict=True):
        after = kernels(iteration.weights["2.weight"]).numpy()
        for place, number in enumerate(order):
            expected = codebook[every[number].argmin()] if place < count else before[number]
            np.testing.assert_array_equal(after[number], expected)
    assert [event.scores["share_fixed"] for event in iterations[1:]][-1] == 1


def test_fixed_kernels_stay_while_the_others_are_trained():
    iterations = []
    compress(replace(QUICK, shares=(0.5, 0.75, 1.0)), observe=iterations.append)
    told = [event.weights["2.weight"] for event in iterations if isinstance(event, Iteration)]
    first, then = kernels(told[1]), kernels(told[2])
    entries, counts = first.unique(dim=0, return_counts=True)
    shared = entries[counts > 1]
    is_fixed = (first[:, None] == shared[None]).all(2).any(1)
    assert is_fixed.sum() > len(first) / 3 and torch.equal(first[is_fixed], then[is_fixed])
    assert (first[~is_fixed] != then[~is_fixed]).any()


def test_batch_norm_and_biases_are_trained_to_the_end():
    before, after = dict(network().named_parameters()), compress().weights
    assert all(not torch.equal(after[name], before[name]) for name in ("3.weight", "3.bias", "0.bias"))


@pytest.mark.parametrize("memory_alone", [False, True])
def test_an_output_layer_that_shares_the_embeddings_weight_is_quantised(memory_alone):
    weights = QUICK.compress(small_networks.Tied(memory_alone), small_networks.words()).weights
    assert len(weights["embedding.weight"].unique()) <= 2**4 - 1 and len(weights["hidden.weight"].unique()) <= 2**4 - 1


def test_more_entries_than_kernels_leave_the_grid_alone():
    before = dict(network().named_parameters())["2.weight"].detach()
    weights = compress(replace(QUICK, index_bits=16, parameter_bits=8, epochs=0)).weights["2.weight"]
    step = before.abs().max() / 127
    torch.testing.assert_close(weights, (before / step).round() * step)


@pytest.mark.parametrize(("share", "bits", "entries"), [(0.25, 10, (3, 9)), (0.25, 2, (3, 4)), (1e-6, 10, (1, 1))])
def test_a_codebook_has_a_share_of_its_layers_kernels_and_no_more_than_its_index_can_tell(share, bits, entries):
    quantised = compress(replace(QUICK, entries_share=share, index_bits=bits, epochs=0))
    assert tuple(len(kernels(quantised.weights[name]).unique(dim=0)) for name in ("0.weight", "2.weight")) == entries
    indices = sum(count * (used - 1).bit_length() for count, used in zip((12, 36), entries, strict=True))
    codebooks = 9 * entries[0] + 6 * entries[1]
    values = 48 * 4 + 16 * 4  # of the third convolution, with one number a kernel
    expected = (indices + 4 * codebooks + values) / (12 * 9 + 36 * 6 + 48)
    assert quantised.records[-1]["bits_per_conv_weight"] == pytest.approx(expected)


def test_the_default_takes_as_many_bits_in_resnet20_as_the_abstract_tells(monkeypatch):
    """Which entries a codebook has does not matter, only how many."""
    monkeypatch.setattr(
        kernel_quantisation, "vector_k_means", lambda vectors, clusters, seed: (vectors[:clusters], None)
    )
    model, told = networks.build("resnet20", 10, (3, 8, 8)), []
    batches = [(torch.randn(10, 3, 8, 8), torch.arange(10))]
    method = KernelQuantisation(shares=(1.0,), epochs=0, reestimate=False)
    method.compress(model, (batches, batches), told.append)
    assert 1.05 < told[-1].scores["bits_per_conv_weight"] < 1.62


def test_entries_are_rounded_before_the_last_stage_trains():
    model, seen = network(), []

    def look(event):
        if isinstance(event, Step) and event.iteration == 2:
            seen.append(kernels(model[2].weight.detach().clone()))

    codebook = torch.from_numpy(vector_k_means(kernels(model[2].weight.detach()).numpy(), 4, QUICK.seed)[0])
    step = codebook.abs().max() / 7
    rounded = (codebook / step).round() * step
    compress(model=model, observe=look)
    assert (seen[0][:, None] == rounded).all(2).any(1).sum() >= 18


def test_a_network_without_layers_is_refused():
    model = nn.Sequential(nn.AdaptiveAvgPool2d((1, 3)), nn.BatchNorm2d(2), nn.Flatten(), nn.BatchNorm1d(6))
    with pytest.raises(UserError, match="no convolution or linear layer"):
        compress(model=model)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("entries_share", 0.0, "entries_share must be above 0"),
        ("index_bits", 17, "index_bits must be from 0 to 16"),
        ("parameter_bits", 1, "parameter_bits must be from 2 to 8"),
        ("shares", (0.5,), "shares must rise"),
    ],
)
def test_options_that_cannot_be_are_refused(option, value, message):
    with pytest.raises(UserError, match=message):
        replace(QUICK, **{option: value})
