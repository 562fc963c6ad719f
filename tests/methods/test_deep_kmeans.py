"""Deep k-Means as a method: whose rows are shared, and what the penalty does to them."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from tests.support import small_networks, tiny
from wfn.codebooks.quantisers.kernel_rows import RowRegulariser
from wfn.codebooks.quantisers.vectors import sparse_k_means
from wfn.errors import UserError
from wfn.interface import Epoch
from wfn.methods.deep_kmeans import DeepKMeans

QUICK = DeepKMeans(clusters=5, iterations=2, epochs=2)
BETWEEN = ("3.weight", "4.weight", "5.weight")


def network():
    """Three convolutions and a linear layer."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, (2, 3), bias=False), nn.BatchNorm2d(6), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip


def compress(method=QUICK, model=None, observe=lambda event: None):
    return method.compress(network() if model is None else model, small_networks.data(), observe)


def rows(weights):
    return weights.reshape(-1, weights.shape[-1]).unique(dim=0)


@pytest.mark.parametrize("relaxation", ["indicators", "spectral"])
def test_rows_in_between_are_few_and_all_else_is_float(relaxation):
    method = replace(QUICK, relaxation=relaxation)
    quantised = compress(method)
    assert len(rows(quantised.weights["2.weight"])) == 5
    assert len(rows(quantised.weights["0.weight"])) == 36
    quantised = compress(method, small_networks.build("convolutional"))
    assert [len(rows(quantised.weights[name])) for name in BETWEEN] == [5, 5, 5]


def test_without_training_rows_are_the_means_of_theirs_and_nothing_else_moves():
    before = dict(network().named_parameters())
    weights = compress(replace(QUICK, iterations=1, epochs=0)).weights
    assert all(torch.equal(weights[name], before[name]) for name in weights if name != "2.weight")
    old, new = (w.detach().reshape(-1, 3) for w in (before["2.weight"], weights["2.weight"]))
    for row in new.unique(dim=0):
        torch.testing.assert_close(old[(new == row).all(1)].mean(0), row)


def test_a_layer_with_fewer_rows_than_clusters_keeps_them():
    before = dict(network().named_parameters())
    weights = compress(replace(QUICK, clusters=999, iterations=1, epochs=0)).weights
    assert torch.equal(weights["2.weight"], before["2.weight"])


def test_the_penaltys_clusters_are_taken_anew_after_each_iteration_but_the_last(monkeypatch):
    """As k-means of the rows gives them at that moment."""
    renewed, renew = [], RowRegulariser.renew

    def spied(self, latent):
        renew(self, latent)
        rows = latent[self._layers[0]].numpy()
        renewed.append((latent.clone(), self.state_dict()["0"].numpy(), sparse_k_means(rows, 5, QUICK.seed, 0.0)[1]))

    monkeypatch.setattr(RowRegulariser, "renew", spied)
    compress(replace(QUICK, iterations=3, learning_rate=0.5))
    assert len(renewed) == 3  # at the start, and after two of three iterations
    assert all((kept == expected).all() for _, kept, expected in renewed)
    assert all(not torch.equal(one[0], other[0]) for one, other in pairwise(renewed))


@pytest.mark.parametrize("relaxation", ["indicators", "spectral"])
def test_the_penalty_brings_rows_together(relaxation):
    moves = {}
    for weight in (0.0, 5.0):
        method = replace(QUICK, clusters=2, relaxation=relaxation, regularisation=weight, iterations=3, epochs=4)
        moves[weight] = compress(method).records[-1]["mean_squared_move"]
    assert moves[5.0] < 0.7 * moves[0.0]


def test_the_penalty_is_told_of_every_epoch():
    events = []
    compress(observe=events.append)
    penalties = [event.scores["row_penalty"] for event in events if isinstance(event, Epoch)]
    assert len(penalties) == 4 and all(penalty >= 0 for penalty in penalties)


def test_a_network_without_a_convolution_in_between_is_refused():
    with pytest.raises(UserError, match="no convolution between the first layer and the last"):
        QUICK.compress(tiny.network(3, (3, 2, 2)), tiny.data())


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("clusters", 0, "clusters must be from 1 to 4,096"),
        ("regularisation", -1.0, "regularisation must be 0"),
        ("relaxation", "spectrum", "relaxation"),
    ],
)
def test_options_that_cannot_be_are_refused(option, value, message):
    with pytest.raises(UserError, match=message):
        replace(QUICK, **{option: value})


def test_with_a_sparse_share_most_rows_are_one():
    method = replace(QUICK, sparse_share=0.6)
    found = compress(method).weights["2.weight"]
    _, counts = found.reshape(-1, found.shape[-1]).unique(dim=0, return_counts=True)
    assert len(counts) == 5 and counts.max() == int(0.6 * 6 * 6 * 2)
    assert method.label.endswith("60% of the rows in one")


@pytest.mark.parametrize(("share", "clusters"), [(1.0, 5), (-0.1, 5), (0.5, 1)])
def test_a_sparse_share_that_cannot_work(share, clusters):
    with pytest.raises(UserError, match=r"sparse_share must be 0 \(off\), or below 1 with 2 clusters or more"):
        replace(QUICK, sparse_share=share, clusters=clusters)
