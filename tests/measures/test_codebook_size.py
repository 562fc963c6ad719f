from math import comb, log2

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from torch import nn

from tests.support.oracles_measures import bits_by_form, symbol_bits
from wfn.errors import UserError
from wfn.measures import codebook_size, measure
from wfn.measures.codebook_size import cheapest_codebooks, size_of_state
from wfn.networks.forward_pass import ForwardPass, trace

few_values = st.sampled_from([np.float32(v) for v in (-2.0, -0.0, 0.0, 0.25, 1e-45, 3e38, float("-inf"))])
shapes = array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)
any_tensor = shapes.flatmap(lambda shape: arrays(np.float32, shape, elements=few_values))


@st.composite
def tensors_of_a_form(draw):
    """Tensors in which channels, rows or kernels are alike in one way or another, of few values or of many."""
    shape = draw(array_shapes(min_dims=2, max_dims=5, min_side=1, max_side=8))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    width = draw(st.sampled_from([1, shape[-1], int(np.prod(shape[2:])), int(np.prod(shape[1:]))]))
    codebook = rng.standard_normal((draw(st.integers(1, 4)), width)).round(draw(st.integers(0, 3)))
    tensor = codebook[rng.integers(len(codebook), size=int(np.prod(shape)) // width)].reshape(shape)
    if draw(st.booleans()):
        tensor = tensor + rng.standard_normal(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    return tensor.astype(np.float32)


def as_weights(tensors):
    return {f"p{i}": np.asarray(tensor, np.float32) for i, tensor in enumerate(tensors)}


def check_against_the_literal(weights):
    found = cheapest_codebooks(weights)
    for name, weight in weights.items():
        bits = bits_by_form(weight)
        assert found.bits_of[name] == pytest.approx(min(bits.values()), abs=1e-6)
        assert bits[found.forms[name]] == pytest.approx(min(bits.values()), abs=1e-6)
    every = [number for weight in weights.values() for number in weight.ravel().tolist()]
    assert found.shared_bits == pytest.approx(32 * len(set(every)) + symbol_bits(every), abs=1e-6)
    assert found.bits == min(found.shared_bits, sum(found.bits_of.values()))


@given(st.lists(any_tensor, min_size=1, max_size=4).filter(lambda tensors: any(tensor.size for tensor in tensors)))
def test_each_tensor_takes_the_least_that_any_form_does(tensors):
    check_against_the_literal(as_weights(tensors))


@given(st.lists(tensors_of_a_form(), min_size=1, max_size=3))
def test_so_do_tensors_whose_channels_rows_or_kernels_are_alike(tensors):
    check_against_the_literal(as_weights(tensors))


@given(tensors_of_a_form())
def test_vectors_that_share_a_number_are_told_apart(tensor):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codebook_size, "_multipliers", lambda width: np.zeros(width, np.uint64))
        check_against_the_literal({"p": tensor})


RNG = np.random.default_rng(0)
KERNELS = RNG.standard_normal((4, 3, 3))
HALVES = np.repeat([0, 1], 96)  # of 192 weights the first value has one half
OF_CHANNELS = RNG.standard_normal((8, 2))[np.arange(8)[:, None], [RNG.permutation(HALVES) for _ in range(8)]]
PAIRS = RNG.standard_normal((16, 8))
PAIRS[:, 0] = PAIRS[:, 7]
LAST_IS_FIRST = RNG.standard_normal((16, 3))
LAST_IS_FIRST[15] = LAST_IS_FIRST[0]
BY_HAND = [
    ("float32", RNG.standard_normal((8, 4, 3, 3)), 8 * 4 * 9 * 32),
    ("values", RNG.permutation(HALVES).reshape(12, 16), 2 * 32 + 192 + log2(191)),
    ("channels", OF_CHANNELS.reshape(8, 16, 3, 4), 8 * (2 * 32 + 192 + log2(191))),
    ("rows", KERNELS[np.arange(32) % 4, 0].reshape(8, 4, 3), 4 * 3 * 32 + 32 * 2 + log2(comb(31, 3))),
    ("kernels", KERNELS[np.arange(32) % 4].reshape(8, 4, 3, 3), 4 * 9 * 32 + 32 * 2 + log2(comb(31, 3))),
    ("channels", PAIRS, 16 * (7 * 32 + 8 * 3 - 2 + log2(7))),  # barely less than float32
    ("rows", LAST_IS_FIRST.reshape(4, 4, 3), 15 * 3 * 32 + 16 * 4 - 2 + log2(15)),
]


@pytest.mark.parametrize(("form", "tensor", "bits"), BY_HAND)
def test_forms_by_hand(form, tensor, bits):
    found = cheapest_codebooks({"p": tensor.astype(np.float32)})
    assert found.forms == {"p": form}
    assert found.bits_of["p"] == pytest.approx(bits)


def test_a_codebook_of_vectors_is_itself_coded_by_values_where_that_is_less():
    kernels = np.sign(RNG.standard_normal((64, 5, 5)))
    weight = kernels[RNG.integers(64, size=4096)].reshape(64, 64, 5, 5).astype(np.float32)
    check_against_the_literal({"p": weight})
    found = cheapest_codebooks({"p": weight})
    assert found.forms == {"p": "kernels"}
    assert found.bits < 64 * 25 * 32


def test_one_codebook_serves_all_tensors_where_each_would_need_its_own():
    values = RNG.standard_normal(64).astype(np.float32)
    weights = {f"p{i}": RNG.permutation(np.repeat(values, 2)) for i in range(9)}
    found = cheapest_codebooks(weights)
    assert found.bits == found.shared_bits == pytest.approx(64 * 32 + 9 * 128 * 6 + log2(comb(9 * 128 - 1, 63)))
    assert sum(found.bits_of.values()) > found.bits


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_what_cannot_be_counted_is_refused(values):
    with pytest.raises(UserError, match=r"weights to measure|'p0' contains NaN"):
        cheapest_codebooks(as_weights([values]))


def test_a_run_measures_the_weights_and_the_statistics_of_batch_norm():
    of_norm = {"scale": torch.ones(4), "shift": torch.tensor([0.0, -0.0, 1.0, 2.0])}
    tensors = {"conv": torch.tensor(KERNELS, dtype=torch.float32), **of_norm}
    uses = dict.fromkeys(tensors, 1.0)
    forward_pass = ForwardPass(uses=uses, order=tuple(uses), batch_norm=frozenset(of_norm), statistics=8)
    found = measure(tensors, forward_pass, every_iteration=True)
    assert found["codebook_bytes"] == pytest.approx((36 * 32 + 32 + 3 * 32 + 6 + log2(3)) / 8 + 2 * 4 * 4)
    alone = cheapest_codebooks({name: tensor.numpy() for name, tensor in tensors.items()})
    assert found["codebook_bytes"] == alone.bits / 8 + 2 * 4 * 4
    statistics = {"bn.running_mean": torch.ones(4), "bn.running_var": torch.ones(4)}
    others = {"bn.num_batches_tracked": torch.tensor(7)}
    assert size_of_state(tensors | statistics | others, tensors) == found["codebook_bytes"]


@pytest.mark.parametrize(
    "norm",
    [nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False), nn.BatchNorm2d(4, track_running_stats=False),
     nn.InstanceNorm2d(4, affine=True, track_running_stats=True)],
)  # fmt: skip
def test_statistics_are_counted_whatever_layer_has_them(norm):
    model = nn.Sequential(nn.Conv2d(2, 4, 3, bias=False), norm, nn.Flatten())
    forward_pass = trace(model, torch.randn(1, 2, 5, 5))
    weights = {name: model.get_parameter(name).detach() for name in forward_pass.uses}
    found = measure(weights, forward_pass, every_iteration=True)["codebook_bytes"]
    assert found == size_of_state(model.state_dict(), weights)
