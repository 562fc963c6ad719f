import os
from collections import Counter
from math import log2
from pathlib import Path

import ncompress
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.support.oracles_measures import huffman_bits as literal_huffman_bits
from tests.support.oracles_measures import shortest_prefix_code_bits
from tests.support.oracles_measures import use_counts_as_printed as literal_use_counts_as_printed
from tests.support.places import ROOT
from wfn.errors import UserError
from wfn.measures import measure
from wfn.measures.common.distinct import distinct, frequencies
from wfn.measures.entropy import entropy_bits
from wfn.measures.huffman import huffman_bits
from wfn.measures.lzw import lzw_bytes, lzw_stream
from wfn.measures.rep_mixed import use_counts, use_counts_as_printed
from wfn.networks.forward_pass import ForwardPass, trace

SAVE = Path(os.environ.get("WFN_SAVES", ROOT.parent / "shared" / "saves")) / "apot-cifar10" / "res20_32bit.pth.tar"

some_counts = st.lists(st.integers(1, 40), min_size=1, max_size=60)
few_values = st.sampled_from([-2.0, -1.5, -0.0, 0.0, 0.25, 1e-45, -1e-45, 3e38, float("-inf")])
some_weights = st.lists(st.lists(few_values, max_size=12), min_size=1, max_size=6).filter(any)


def as_arrays(parameters):
    return {f"p{i}": np.array(values, np.float32) for i, values in enumerate(parameters)}


@given(some_weights, st.integers(1, 30))
def test_distinct_values_are_counted_in_all_and_in_each_parameter(parameters, block):
    weights = as_arrays(parameters)
    values, counts = np.unique(np.concatenate(list(weights.values())) + np.float32(0), return_counts=True)
    blocks = list(distinct(weights, block))
    assert np.concatenate([found.values for found in blocks]).tolist() == values.tolist()
    assert np.concatenate([found.counts for found in blocks]).tolist() == counts.tolist()
    rows = Counter()
    for found in blocks:
        rows_of_value = np.diff(found.first_row)
        for value, parameter, occurrences in zip(
            np.repeat(found.values, rows_of_value), found.parameter, found.occurrences, strict=True
        ):
            rows[float(value), int(parameter)] = int(occurrences)
    assert rows == Counter((value, i) for i, part in enumerate(weights.values()) for value in part.tolist())


def test_minus_zero_is_zero():
    (found,) = distinct({"w": np.array([-0.0, 0.0, 1.0], np.float32)})
    assert found.values.tolist() == [0.0, 1.0]
    assert not np.signbit(found.values[0])
    assert found.counts.tolist() == [2, 1]


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_what_cannot_be_counted_is_refused(values):
    with pytest.raises(UserError, match=r"weights to measure|'w' contains NaN"):
        list(distinct({"w": np.array(values, np.float32)}))


def test_entropy_of_known_distributions():
    assert entropy_bits({5: 1}) == 0
    assert entropy_bits({}) == 0
    assert entropy_bits({3: 8}) == 3
    assert entropy_bits(frequencies(np.array([4, 2, 1, 1]))) == pytest.approx(1.75)


@given(some_counts)
def test_mean_code_length_lies_within_one_bit_above_the_entropy(counts):
    runs = frequencies(np.array(counts))
    mean = huffman_bits(runs) / sum(counts)
    entropy = entropy_bits(runs)
    assert entropy == pytest.approx(-sum(c / sum(counts) * log2(c / sum(counts)) for c in counts))
    assert entropy <= mean + 1e-12
    assert mean < entropy + 1 or len(counts) == 1 == mean


@given(some_counts)
def test_huffman_totals_are_those_of_the_textbook(counts):
    assert huffman_bits(frequencies(np.array(counts))) == literal_huffman_bits(counts)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_no_prefix_code_is_shorter_than_huffmans(counts):
    assert huffman_bits(frequencies(np.array(counts))) == shortest_prefix_code_bits(counts)


def test_huffman_of_millions_of_equal_counts_is_exact():
    assert huffman_bits({1: 2**30}) == 30 * 2**30
    assert huffman_bits({1: 2**30 + 1}) == 30 * 2**30 + 32  # one word of 30 bits gives way to two of 31
    assert huffman_bits({0.5: 4}) == 4.0


def test_symbols_that_never_occur_have_no_code():
    assert frequencies(np.array([0, 3, 3, 0, 1])) == {3: 2, 1: 1}


@pytest.mark.parametrize("values", [1, 256, 257, 65_536, 65_537])
def test_lzw_round_trip(values):
    codebook = np.arange(values, dtype=np.float32) - 100
    weights = [codebook[::-1].copy(), codebook[: min(values, 300)].reshape(1, -1)]
    coded = ncompress.compress(lzw_stream(weights, codebook))
    stream = ncompress.decompress(coded)
    if values <= 65_536:
        decoded = codebook[np.frombuffer(stream, "u1" if values <= 256 else "<u2")]
        assert lzw_bytes(weights, codebook) == len(coded) + 4 * values
    else:
        decoded = np.frombuffer(stream, "<f4")
        assert lzw_bytes(weights, codebook) == len(coded)
    assert decoded.tolist() == np.concatenate([array.ravel() for array in weights]).tolist()


def test_lzw_reads_tensors_row_by_row_whatever_their_strides():
    weight = np.asfortranarray(np.array([[1, 2], [3, -0.0]], np.float32))
    assert lzw_stream([weight], np.array([0, 1, 2, 3], np.float32)) == bytes([1, 2, 3, 0])


# One convolution (4 positions), its batch norm, another convolution (2 positions), a linear layer.
PASS = ForwardPass(
    uses={"conv.weight": 4.0, "conv.bias": 4.0, "bn.weight": 4.0, "conv2.weight": 2.0, "fc.weight": 1.0},
    order=("conv.weight", "conv.bias", "bn.weight", "conv2.weight", "fc.weight"),
    batch_norm=frozenset({"bn.weight"}),
    convolution=frozenset({"conv.weight", "conv2.weight"}),
    first_layer=frozenset({"conv.weight", "conv.bias"}),
    last_layer=frozenset({"fc.weight"}),
)
WEIGHTS = {
    "conv.weight": torch.tensor([[1.0, 1.0, 2.0]]),
    "conv.bias": torch.tensor([-0.0]),
    "bn.weight": torch.tensor([1.0]),
    "conv2.weight": torch.tensor([1.0, 0.0]),
    "fc.weight": torch.tensor([1.0, 2.0]),
    "unused": torch.tensor([77.0]),
}


def counted():
    (found,) = distinct({name: WEIGHTS[name].numpy() for name in PASS.uses})
    return found


def test_use_counts_by_hand():
    # 0: bias 4, conv2 2; 1: conv 2 x 4, batch norm 4, conv2 2, linear 1; 2: conv 4, linear 1
    assert use_counts(counted(), PASS).tolist() == [6, 15, 5]


def test_printed_use_counts_by_hand():
    # 0: bias 1, conv2 2; 1: conv 8, then set to 1, then conv2 2, linear 1; 2: conv 4, linear 1
    assert use_counts_as_printed(counted(), PASS).tolist() == [3, 4, 5]


@given(
    st.lists(
        st.tuples(st.sampled_from(["convolution", "linear", "batch norm"]), st.lists(few_values), st.integers(1, 9))
    )
)
def test_printed_use_counts_are_those_of_the_walk(layers):
    layers = [layer for layer in layers if layer[1]] or [("linear", [1.0], 1)]
    weights = as_arrays([values for _, values, _ in layers])
    named = dict(zip(weights, layers, strict=True))
    forward_pass = ForwardPass(
        uses={name: float(uses) for name, (_, _, uses) in named.items()},
        order=tuple(named),
        batch_norm=frozenset(name for name, layer in named.items() if layer[0] == "batch norm"),
        convolution=frozenset(name for name, layer in named.items() if layer[0] == "convolution"),
    )
    found = {}
    for block in distinct(weights, 3):
        found.update(zip(block.values.tolist(), use_counts_as_printed(block, forward_pass), strict=True))
    rounded = [(kind, weights[name].tolist(), uses) for name, (kind, _, uses) in named.items()]
    assert found == literal_use_counts_as_printed(rounded)


def test_all_measures_by_hand():
    metrics = measure(WEIGHTS, PASS)
    assert (metrics["weights"], metrics["zeros"]) == (9, 2)
    assert (metrics["unique_params"], metrics["unique_params_no_bn_fl"]) == (3, 2)
    assert metrics["entropy_bits"] == pytest.approx(5 / 9 * log2(9 / 5) + 2 * 2 / 9 * log2(9 / 2))
    assert metrics["entropy_nonzero_bits"] == pytest.approx(5 / 7 * log2(7 / 5) + 2 / 7 * log2(7 / 2))
    assert metrics["huffman_bits"] == 5 + 4 * 2
    assert metrics["use_bits"] == 15 + 11 * 2
    assert metrics["use_bits_as_printed"] == 5 + 7 * 2
    assert metrics["lzw_bytes"] == len(ncompress.compress(bytes([1, 1, 2, 0, 1, 1, 0, 1, 2]))) + 12
    assert metrics["compression_ratio"] == 36 / metrics["lzw_bytes"]
    assert not {"rep_mixed", "rep_mixed_as_printed"} & metrics.keys()


@given(some_weights)
def test_the_entropy_of_tensors_is_the_mean_of_their_own(parameters):
    tensors = {name: torch.from_numpy(values) for name, values in as_arrays(parameters).items()}
    uses = dict.fromkeys(tensors, 1.0)
    found = measure(tensors, ForwardPass(uses=uses, order=tuple(uses)), every_iteration=True)
    alone = [
        measure({name: tensor}, ForwardPass(uses={name: 1.0}, order=(name,)))["entropy_bits"] * tensor.numel()
        for name, tensor in tensors.items()
        if tensor.numel()
    ]
    mean = sum(alone) / sum(tensor.numel() for tensor in tensors.values())
    assert found["entropy_bits_per_tensor"] == pytest.approx(mean, abs=1e-9)
    assert found["entropy_bits_per_tensor"] <= found["entropy_bits"] + 1e-9


def test_rep_mixed_is_relative_to_the_float_network():
    different = {name: torch.arange(weight.numel()) + 100.0 * i for i, (name, weight) in enumerate(WEIGHTS.items())}
    baseline = measure(different, PASS)
    metrics = measure(WEIGHTS, PASS, baseline)
    assert metrics["rep_mixed"] == metrics["use_bits"] / baseline["use_bits"] < 1
    assert metrics["rep_mixed_as_printed"] == metrics["use_bits_as_printed"] / baseline["use_bits_as_printed"]
    assert measure(different, PASS, baseline)["rep_mixed"] == 1


@given(some_weights, st.integers(0, 63))
def test_inner_layers_are_measured_as_if_they_were_all_there_is(parameters, which):
    weights = as_arrays(parameters)
    tensors = {name: torch.from_numpy(values) for name, values in weights.items()}
    outer = frozenset(name for i, name in enumerate(weights) if which >> i & 1)
    uses = dict.fromkeys(weights, 1.0)
    forward_pass = ForwardPass(uses=uses, order=tuple(uses), first_layer=outer)
    found = measure(tensors, forward_pass, every_iteration=True)
    inner = [value for name, values in weights.items() if name not in outer for value in values.tolist()]
    shares = np.array(list(Counter(value for value in inner if value).values())) / max(np.count_nonzero(inner), 1)
    assert found["unique_params_no_bn_fl"] == len(set(inner))
    assert found["entropy_nonzero_bits_no_bn_fl"] == pytest.approx(-np.sum(shares * np.log2(shares)))


def test_values_of_convolutions_and_linear_layers_are_counted_apart():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.LayerNorm(2), nn.Linear(2, 2))
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.fill_(number)
    forward_pass = trace(model, torch.ones(1, 1, 1, 1))
    assert forward_pass.products == {"0.weight", "0.bias", "4.weight", "4.bias"}
    found = measure(dict(model.named_parameters()), forward_pass)
    assert (found["unique_params"], found["unique_params_conv_linear"]) == (8, 4)


def test_diversity_is_the_same_with_and_without_the_rest():
    cheap = measure(WEIGHTS, PASS, every_iteration=True)
    assert cheap.items() <= measure(WEIGHTS, PASS).items()
    assert {"unique_params", "zeros", "entropy_bits"} <= cheap.keys()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({k: v for k, v in WEIGHTS.items() if k != "bn.weight"}, "'bn.weight', which is not among"),
        (WEIGHTS | {"fc.weight": torch.ones(2, dtype=torch.float64)}, "'fc.weight' is torch.float64"),
    ],
)
def test_bad_weights_are_refused(weights, message):
    with pytest.raises(UserError, match=message):
        measure(weights, PASS)


@pytest.mark.skipif(not SAVE.exists(), reason=f"no APoT save at {SAVE}: set WFN_SAVES")
def test_float_resnet20_of_the_apot_release():
    state = torch.load(SAVE, map_location="cpu", weights_only=True)["state_dict"]
    weights = {
        name.removeprefix("module."): weight
        for name, weight in state.items()
        if not any(word in name for word in ("running", "num_batches", "alpha"))
    }
    is_batch_norm = ("bn", "downsample.1")
    forward_pass = ForwardPass(
        uses=dict.fromkeys(weights, 1.0),
        order=tuple(weights),
        batch_norm=frozenset(name for name in weights if any(word in name for word in is_batch_norm)),
        first_layer=frozenset({"conv1.weight"}),
        last_layer=frozenset({"fc.weight", "fc.bias"}),
    )
    diversity = measure(weights, forward_pass, every_iteration=True)
    assert diversity["weights"] == 272_474
    assert diversity["unique_params"] == 271_951
    assert diversity["unique_params_no_bn_fl"] == 269_397
    assert round(diversity["entropy_bits"], 2) == 18.05
