"""Assignment to a grid under a rate, held against the search over every level."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.support.oracles_quantisers import cheapest, lengths_of
from tests.support.threads import one_thread_and_more
from wfn.codebooks.quantisers.rate_constrained import RateConstrainedGrid, code_lengths, envelope
from wfn.errors import UserError

counts = arrays(np.float64, st.integers(1, 12), elements=st.integers(0, 3000))
numbers = arrays(np.float32, st.integers(1, 60), elements=st.floats(-6, 6, width=32))
rates = st.sampled_from([0.0, 0.01, 0.05, 0.3, 2.0])


@given(counts)
def test_lengths_are_those_of_an_ideal_code(counts):
    assert np.allclose(code_lengths(counts), lengths_of(counts.tolist()))
    assert np.exp2(-code_lengths(counts)).sum() == pytest.approx(1)


@settings(deadline=None)  # the first call compiles
@given(counts, rates, st.lists(st.floats(-4, 16), min_size=1, max_size=30))
def test_between_the_thresholds_each_level_is_the_cheapest_of_all(counts, rate, scaled):
    lengths = code_lengths(counts)
    levels, thresholds = envelope(lengths, rate)
    assert (np.diff(levels) > 0).all() and (np.diff(thresholds) > 0).all() and len(levels) == len(thresholds) + 1
    for x in scaled:
        level = levels[np.searchsorted(thresholds, x)]
        assert (x - level) ** 2 + rate * lengths[level] <= cheapest(x, lengths, rate, 0) + 1e-9


@given(numbers, rates, st.sampled_from([0.25, 0.5]), st.data())
@settings(deadline=None)
def test_every_number_goes_to_a_cheapest_multiple_and_the_histogram_follows(values, rate, step, data):
    rated = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    latent, out = torch.from_numpy(values), torch.zeros(len(values))
    grid = RateConstrainedGrid(latent, torch.from_numpy(rated), step, rate, memory=0.5)
    before = grid.state_dict()["counts"].numpy().copy()
    lowest, lengths = -(len(before) // 2), lengths_of(before.tolist())
    grid.quantise(latent, out)
    levels = out.numpy().astype(np.float64) / step
    assert np.array_equal(levels, np.rint(levels)) and not np.signbit(out.numpy()[levels == 0]).any()
    for value, level, is_rated in zip(values.astype(np.float64) / step, levels, rated, strict=True):
        if is_rated and rate:
            cost = (value - level) ** 2 + rate * lengths[int(level) - lowest]
            assert cost <= cheapest(value, lengths, rate, lowest) + 1e-6
        else:
            assert abs(value - level) <= 0.5 + 1e-6
    now = np.bincount((levels - lowest).astype(int), minlength=len(before))
    assert np.allclose(grid.state_dict()["counts"].numpy(), 0.5 * before + 0.5 * now)


def test_any_number_of_threads_assigns_and_counts_alike():
    values, found = torch.randn(10_007, generator=torch.Generator().manual_seed(0)), []
    for _ in one_thread_and_more():
        out = torch.zeros(10_007)
        grid = RateConstrainedGrid(values, torch.ones(10_007, dtype=torch.bool), 0.25, 0.3, 0.5)
        grid.quantise(values, out)
        found.append((out, grid.state_dict()["counts"]))
    assert all(torch.equal(*both) for both in zip(*found, strict=True))
    assert found[0][1].sum() == pytest.approx(10_007)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("rate", [0.0, 0.05, 1.0])
def test_a_gpu_chooses_as_the_cpu_does(rate):
    values, found = torch.randn(5000, generator=torch.Generator().manual_seed(0)), {}
    for device in ("cpu", "cuda"):
        latent, out = values.to(device), torch.zeros(5000, device=device)
        RateConstrainedGrid(latent, torch.ones_like(latent, dtype=torch.bool), 0.25, rate, 0.9).quantise(latent, out)
        found[device] = out.cpu()
    assert (found["cpu"] != found["cuda"]).sum() <= 2  # a number on a threshold may fall either way


def test_a_rate_saves_bits_and_makes_zeros():
    values = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    rated, entropy, zeros = torch.ones(20_000, dtype=torch.bool), [], []
    for rate in (0.0, 0.05, 0.2, 1.0):
        out = torch.zeros(20_000)
        RateConstrainedGrid(values, rated, 0.5, rate, 0.9).quantise(values, out)
        shares = out.unique(return_counts=True)[1] / 20_000
        entropy.append(-(shares * shares.log2()).sum().item())
        zeros.append((out == 0).float().mean().item())
    assert entropy == sorted(entropy, reverse=True) and entropy[-1] < entropy[0] - 0.5
    assert zeros == sorted(zeros) and zeros[-1] > zeros[0] + 0.1


def test_numbers_that_outgrow_the_grid_stay_on_its_ends():
    latent, out = torch.tensor([0.5, -0.5]), torch.zeros(2)
    grid = RateConstrainedGrid(latent, torch.tensor([False, False]), 0.5, 0.05, 0.9)
    grid.quantise(latent * 1000, out)
    assert out.tolist() == [5.0, -5.0]  # twice one step, and eight more


def test_a_grid_too_fine_is_refused():
    with pytest.raises(UserError, match=r"step must be coarser: the largest weight is 100,000 steps of 1e-05"):
        RateConstrainedGrid(torch.ones(2), torch.ones(2, dtype=torch.bool), 1e-5, 0.05, 0.9)
