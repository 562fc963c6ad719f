"""Bases learned for channels: codes held against the search over all of them, bases against least squares."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.oracles_quantisers import nearest_of_all_codes
from wfn.codebooks.quantisers.learned_basis import (
    FIRST_FITS,
    KEPT,
    MEDIAN_DEVIATION,
    RIDGE,
    ChannelLayer,
    LearnedBasis,
    first_basis,
    fitted,
    nearest,
)


def codes_of(bits):
    return torch.tensor(list(product((-1.0, 1.0), repeat=bits)))


def error(weights, basis, codes):
    values = nearest(weights, basis, codes).mul(basis[:, None]).sum(2)
    return (weights - values).square().sum(1)


@given(st.integers(1, 4), st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_every_weight_gets_a_nearest_code(bits, seed):
    generator = torch.Generator().manual_seed(seed)
    weights, basis = torch.randn(3, 7, generator=generator), torch.randn(3, bits, generator=generator)
    chosen = nearest(weights, basis, codes_of(bits))
    for channel, row in enumerate(weights.tolist()):
        for position, weight in enumerate(row):
            code = tuple(chosen[channel, position].tolist())
            _, best = nearest_of_all_codes(weight, basis[channel].tolist())
            assert code in best


@given(st.integers(1, 4), st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_a_basis_is_that_of_least_squares(bits, seed):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(2, 40, generator=generator)
    chosen = nearest(weights, first_basis(weights, codes_of(bits)), codes_of(bits))
    for channel, basis in enumerate(fitted(weights, chosen).double().numpy()):
        b, w = chosen[channel].double().numpy(), weights[channel].double().numpy()
        ridged = np.vstack([b, RIDGE**0.5 * np.eye(bits)]), np.concatenate([w, np.zeros(bits)])
        literal = np.linalg.lstsq(*ridged, rcond=None)[0]
        assert np.square(b @ basis - w).sum() == pytest.approx(np.square(b @ literal - w).sum(), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_the_first_basis_is_that_of_passes_over_all_weights(bits):
    weights, codes = torch.randn(8, 300, generator=torch.Generator().manual_seed(1)).double(), codes_of(bits)
    basis = MEDIAN_DEVIATION * weights.std(1, correction=0)[:, None] * 2.0 ** torch.arange(1 - bits, 1)
    for _ in range(FIRST_FITS):
        basis = fitted(weights, nearest(weights, basis, codes.double()))
    found = first_basis(weights.float(), codes)
    assert torch.allclose(found.double(), basis, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_each_alternation_lowers_the_error_and_more_bits_leave_less(bits):
    weights, codes = torch.randn(8, 200, generator=torch.Generator().manual_seed(0)), codes_of(bits)
    basis = torch.full((8, bits), 0.5) * 2.0 ** -torch.arange(bits)
    before = error(weights, basis, codes)
    for _ in range(6):
        basis = fitted(weights, nearest(weights, basis, codes))
        after = error(weights, basis, codes)
        assert (after <= before * (1 + 1e-4)).all()
        before = after
    assert error(weights, first_basis(weights, codes), codes).mean() / 200 < 0.45 / 3 ** (bits - 1)


def test_values_come_from_the_basis_in_use_and_the_basis_moves_by_its_average():
    latent, out = torch.randn(50, generator=torch.Generator().manual_seed(0)), torch.zeros(50)
    quantiser = LearnedBasis(latent, [ChannelLayer(0, 40, 4)], 2)
    before, moved = quantiser.state_dict()["0"].clone(), latent * 1.5
    quantiser.quantise(moved, out)
    assert torch.equal(out[40:], moved[40:])
    assert all(len(channel.unique()) <= 4 for channel in out[:40].view(4, 10))
    codes = nearest(moved[:40].view(4, 10), before, codes_of(2))
    assert torch.allclose(out[:40].view(4, 10), codes.mul(before[:, None]).sum(2))
    expected = KEPT * before + (1 - KEPT) * fitted(moved[:40].view(4, 10), codes)
    assert torch.allclose(quantiser.state_dict()["0"], expected)


@given(st.integers(1, 4), st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_a_compiled_step_does_what_operations_on_tensors_do(bits, seed):
    generator = torch.Generator().manual_seed(seed)
    latent = torch.randn(64, generator=generator)
    quantisers = [LearnedBasis(latent, [ChannelLayer(3, 63, 5)], bits) for _ in range(2)]
    quantisers[1]._on_cpu = False
    moved, outs = latent * 1.3 + 0.1, [torch.zeros(64), torch.zeros(64)]
    for quantiser, out in zip(quantisers, outs, strict=True):
        quantiser.quantise(moved, out)
    # Of two values that are equally near but for rounding either may be chosen.
    assert torch.allclose((moved - outs[0]).abs(), (moved - outs[1]).abs(), atol=1e-5)
    bases = [quantiser.state_dict()["0"] for quantiser in quantisers]
    assert torch.allclose(*bases, rtol=1e-3, atol=1e-4)


def test_channels_of_one_value_or_of_zeros_are_no_trouble():
    latent, out = torch.cat([torch.zeros(10), torch.full((10,), 0.7)]), torch.zeros(20)
    LearnedBasis(latent, [ChannelLayer(0, 20, 2)], 3).quantise(latent, out)
    assert torch.allclose(out, latent, atol=1e-3)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("value", [0.0, 0.3])
def test_a_channel_of_one_value_has_a_basis_however_many_weights_it_has(value, bits):
    weights = torch.full((1, 4608), value)
    codes = codes_of(bits)
    basis = fitted(weights, nearest(weights, first_basis(weights, codes), codes))
    assert torch.allclose(basis.abs(), torch.tensor(value / bits), atol=1e-5)
