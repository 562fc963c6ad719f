"""The compressed file gives every tensor back bit for bit, and is as small as it says."""

import errno
import os

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.compressed_files import WFN_LIKE, fixed, floats, memory_below, round_trip, tiny
from tests.support.small_networks import KINDS, build
from wfn import compressed_file, networks
from wfn.compressed_file import container
from wfn.compressed_file.codebook_section import pack_codebook, unpack_codebook
from wfn.compressed_file.container import unwrap, wrap
from wfn.compressed_file.header import Header, pack_header, unpack_header
from wfn.errors import UserError


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_every_kind_come_back_bit_for_bit(path, kind):
    round_trip(path, *fixed(build(kind), torch.zeros(1, 2, 6, 6)))


def test_a_resnet_20_takes_little_more_than_its_entropy(path):
    torch.manual_seed(0)
    weights, state = fixed(networks.build("resnet20_conv", 10, (3, 32, 32)), torch.zeros(1, 3, 32, 32))
    contents = round_trip(path, weights, state, {"run": "0" * 32, "model": "resnet20_conv"})
    values = torch.cat([w.ravel() for w in weights.values()]).numpy()
    shares = np.unique(values, return_counts=True)[1] / len(values)
    entropy = -(shares * np.log2(shares)).sum()
    assert contents.entropy_bits == pytest.approx(entropy)
    assert contents.weights == len(values) == 272_474
    assert 8 * contents.sections["coded weights"] == pytest.approx(entropy * len(values), rel=0.005)
    assert contents.bytes - contents.sections["coded weights"] < 8 * 1024


def test_signs_of_zero_are_dropped_and_told_and_odd_buffers_survive(path, caplog):
    weights = {"w": torch.tensor([0.0, -0.0, 1.0, -0.0])}
    others = {
        "nan": torch.tensor([float("nan"), -0.0, float("inf")]),
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
        "flag": torch.tensor([True, False]),
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 4),
    }
    with caplog.at_level("INFO"):
        contents = round_trip(path, weights, weights | others)
    assert sorted(zip(contents.values.tolist(), contents.counts, strict=True)) == [(0.0, 3), (1.0, 1)]
    assert "drops the sign of 2 zeros" in caplog.text
    assert not torch.signbit(compressed_file.load(path)["w"]).any()


def test_a_network_without_signed_zeros_is_written_without_a_word(path, caplog):
    with caplog.at_level("INFO"):
        compressed_file.save(path, *tiny(), {})
    assert caplog.text == ""


def test_shared_and_strided_tensors(path):
    weight = torch.tensor(WFN_LIKE).reshape(3, 4).T
    images = torch.tensor(WFN_LIKE).reshape(1, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    state = {"a": weight, "z": weight, "images": images, "mean": torch.ones(3)}
    contents = round_trip(path, {"a": weight, "images": images}, state)
    assert contents.shared == {"z": "a"} and contents.weights == 24
    loaded = compressed_file.load(path)
    assert loaded["a"].untyped_storage().data_ptr() != loaded["z"].untyped_storage().data_ptr()


@pytest.mark.parametrize("weights", [torch.full((1000,), 0.5), torch.zeros(1), torch.tensor([2.0**-149, -(2.0**127)])])
def test_one_value_and_the_ends_of_the_range(path, weights):
    round_trip(path, {"w": weights}, {"w": weights})


def test_values_that_are_no_short_sum_and_as_many_as_allowed(path):
    values = np.random.default_rng(0).standard_normal(2 * compressed_file.MOST_VALUES).astype(np.float32)
    weights = torch.from_numpy(np.unique(values)[: compressed_file.MOST_VALUES])
    contents = round_trip(path, {"w": weights}, {"w": weights})
    assert len(contents.values) == compressed_file.MOST_VALUES and contents.entropy_bits == pytest.approx(16)


def test_a_float_network_is_refused(path):
    weights = {"w": torch.arange(compressed_file.MOST_VALUES + 1.0)}
    with pytest.raises(UserError, match=r"65,537 distinct values.*65,536.*fix the network"):
        compressed_file.save(path, weights, weights, {})
    assert not path.exists()


@pytest.mark.parametrize(
    ("weights", "state", "match"),
    [
        ({}, {"a": torch.ones(2)}, "no weights"),
        ({"a": torch.ones(2)}, {}, "'a'.*in the state_dict, which has none"),
        ({"a": torch.ones(2)}, {"a": torch.ones(3)}, r"shape \(2,\).*\(3,\)"),
        ({"a": torch.ones(2).double()}, {"a": torch.ones(2)}, "float64.*float32"),
        ({"a": torch.tensor([1, float("nan")])}, {"a": torch.ones(2)}, "'a' holds NaN"),
        ({"a": torch.ones(2)}, {"a": torch.ones(2), "extra": "text"}, "plain tensors alone"),
        ({"\ud800": torch.ones(2)}, {"\ud800": torch.ones(2)}, "names and descriptions must be text"),
        ({"a" * 2_000_000: torch.ones(2)}, {"a" * 2_000_000: torch.ones(2)}, "names and descriptions"),
        ({"a": torch.ones(2)}, {"a": torch.ones(2), "b" * 3_000_000: torch.ones(3)}, "names and shapes of 1 tensors"),
    ],
)
def test_what_cannot_be_written_is_refused(path, weights, state, match):
    with pytest.raises(UserError, match=match) as caught:
        compressed_file.save(path, weights, state, {})
    assert "\n" not in str(caught.value) and not path.exists()


def test_a_huge_network_of_hardly_any_entropy_comes_back(path, monkeypatch):
    monkeypatch.setattr(container, "_ROOM_FOR_ALL", 4 << 20)
    weights = {"w": torch.zeros(1_250_000)}
    contents = round_trip(path, weights, weights)
    assert contents.sections["coded weights"] == 0
    assert contents.bytes < 1_700
    path.write_bytes(wrap(unwrap(path.read_bytes()), unfolded=0))  # the same without the padding
    with memory_below(3e6), pytest.raises(UserError, match="5,000,000 bytes of weights, more than it can hold"):
        compressed_file.load(path)


@given(st.integers(1, 5000), st.integers(0, 3), st.integers(0, 9000), st.sampled_from([0.0, 1.0]))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_can_be_written_can_be_read_again(path, size, names, buffer, last):
    """Where a file has next to no room of its own, padding makes it, for weights, shared ones and other tensors."""
    weight = torch.zeros(size)
    weight[-1] = last
    state = {"w": weight, **{f"shared{n}": weight for n in range(names)}, "buffer": torch.zeros(buffer + size + 1)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(container, "_ROOM_FOR_ALL", 0)
        patch.setattr(container, "_ROOM_PER_BYTE", 4)
        assert container.room(round_trip(path, {"w": weight}, state).bytes) >= 4 * size * (1 + names)


def test_ordinary_networks_are_not_padded(path):
    assert round_trip(path, *tiny()).sections["padding"] == 0


def test_a_full_disk_leaves_what_was_there(path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    compressed_file.save(path, *tiny(), {"written": "first"})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        compressed_file.save(path, *tiny(), {"written": "second"})
    assert compressed_file.inspect(path).about == {"written": "first"}
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_contents_tell_what_is_inside(path):
    compressed_file.save(path, *tiny(), {"model": "tiny", "evil": "\x1b[2J"})
    contents = compressed_file.inspect(path)
    assert contents.version == container.VERSION and contents.shapes == {"a": (2, 2), "b": ()}
    assert dict(zip(contents.values.tolist(), contents.counts, strict=True)) == {0.5: 2, 0.0: 1, -0.25: 1, 0.75: 1}
    assert dict(zip(contents.values.tolist(), contents.orders, strict=True)) == {0.5: 1, 0.0: 0, -0.25: 1, 0.75: 2}
    text = compressed_file.describe(contents)
    assert "model: tiny" in text and "4 distinct values" in text and "\x1b" not in text


def test_the_same_network_gives_the_same_bytes(path):
    compressed_file.save(path, *tiny(), {})
    first = path.read_bytes()
    compressed_file.save(path, *tiny(), {})
    assert path.read_bytes() == first


@given(st.lists(floats, min_size=1, max_size=40), st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_finite_weights_and_any_description(path, values, about):
    weights = {"w": torch.tensor(values, dtype=torch.float32)}
    assert round_trip(path, weights, weights, about).about == about


@given(st.lists(floats, max_size=30, unique_by=lambda value: np.float32(value).tobytes()), st.data())
@settings(max_examples=50, deadline=None)
def test_any_codebook_comes_back(values, data):
    uses = data.draw(st.lists(st.integers(1, 2**40), min_size=len(values), max_size=len(values)))
    values = np.array(values, np.float32)
    found, found_counts, _ = unpack_codebook(pack_codebook(values, np.array(uses, np.int64)))
    assert np.array_equal(found.view(np.uint32), values.view(np.uint32)) and found_counts == uses


def test_short_sums_take_less_than_floats():
    sums = np.unique(np.random.default_rng(0).choice([1, 3, 5, 7, 9], 300) * 2.0 ** -np.arange(300.0) % 1)[:80]
    random = np.random.default_rng(0).random(len(sums))
    ones = np.ones(len(sums), np.int64)
    assert len(pack_codebook(sums.astype("f4"), ones)) < 0.8 * len(pack_codebook(random.astype("f4"), ones))


def test_a_header_comes_back():
    header = Header({"a": (2, 3), "ä": ()}, {"b": "a"}, {"model": "x"}, "left")
    assert unpack_header(pack_header(header)) == header and header.weights == 7 and header.tensor_bytes == 4 * 13
