"""Deviations of a codebook's values: a file that can be sampled from."""

import numpy as np
import pytest
import torch

from tests.support.compressed_files import WFN_LIKE, refused, round_trip, tiny
from wfn import compressed_file
from wfn.compressed_file.codebook_section import pack_codebook, unpack_codebook
from wfn.compressed_file.container import deflate, inflate
from wfn.errors import UserError

DEVIATIONS = {0.5: 0.125, -0.25: 0.03, 0.0: 0.01}  # that of 0.75 is left out


def test_deviations_come_back_beside_their_values_and_the_network_as_ever(path):
    weights, state = tiny()
    compressed_file.save(path, weights, state, {}, DEVIATIONS)
    contents = compressed_file.inspect(path)
    found = dict(zip(contents.values.tolist(), contents.deviations.tolist(), strict=True))
    assert found == pytest.approx({**DEVIATIONS, 0.75: 0.0})
    loaded = compressed_file.load(path)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
    assert "deviation" in compressed_file.describe(contents)


def test_a_sample_is_drawn_around_the_values_with_their_deviations(path):
    values = torch.tensor(WFN_LIKE).repeat_interleave(4000)
    deviations = {value: 0.01 * (number + 1) for number, value in enumerate(WFN_LIKE.tolist())}
    state = {"w": values, "again": values, "mean": torch.ones(3)}
    compressed_file.save(path, {"w": values}, state, {}, deviations)
    sample = compressed_file.load(path, torch.Generator().manual_seed(0))
    assert torch.equal(sample["mean"], state["mean"]) and torch.equal(sample["again"], sample["w"])
    noise = (sample["w"] - values).view(-1, 4000)
    assert noise.std(1).tolist() == pytest.approx(list(deviations.values()), rel=0.05)
    assert torch.equal(compressed_file.load(path, torch.Generator().manual_seed(0))["w"], sample["w"])


def test_running_statistics_that_look_like_weights_are_not_sampled(path):
    ones = torch.ones(4)
    state = {"norm.weight": ones, "norm.bias": 0 * ones, "norm.running_mean": 0 * ones, "norm.running_var": 1 * ones}
    weights = {name: state[name] for name in ("norm.weight", "norm.bias")}
    compressed_file.save(path, weights, state, {}, {0.0: 0.5, 1.0: 0.9})
    sample = compressed_file.load(path, torch.Generator().manual_seed(0))
    assert not torch.equal(sample["norm.weight"], ones) and not torch.equal(sample["norm.bias"], 0 * ones)
    assert torch.equal(sample["norm.running_mean"], 0 * ones) and torch.equal(sample["norm.running_var"], ones)


def test_a_file_without_deviations_is_what_it_always_was_and_gives_no_sample(path):
    weights, state = tiny()
    contents = round_trip(path, weights, state)
    assert contents.deviations is None
    without = path.read_bytes()
    compressed_file.save(path, weights, state, {}, {})
    assert path.read_bytes() == without
    with pytest.raises(UserError, match="has no deviations to sample with"):
        compressed_file.load(path, torch.Generator())


@pytest.mark.parametrize("deviation", [-1.0, np.nan, np.inf])
def test_deviations_that_cannot_be_are_refused(deviation):
    values, counts = np.array([0.5, 1.0], np.float32), np.array([3, 4])
    with pytest.raises(ValueError, match="deviations below zero, or not finite"):
        unpack_codebook(pack_codebook(values, counts, np.array([0.1, deviation])))


def test_a_column_cut_short_is_refused(path):
    section = pack_codebook(np.array([0.5, 1.0], np.float32), np.array([3, 4]), np.array([0.1, 0.2]))
    content = inflate("codebook", section, 1000)
    for cut in range(1, 8):
        with pytest.raises(ValueError, match="codebook"):
            unpack_codebook(deflate(content[:-cut]))
    refused(path, b"")
