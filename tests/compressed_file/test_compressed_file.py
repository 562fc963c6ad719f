"""The compressed file gives every tensor back bit for bit, is as small as it says, and cannot be made to misbehave."""

import errno
import json
import os
import struct
import tracemalloc
import zlib
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.small_networks import KINDS, build
from wfn import compressed_file, networks
from wfn.compressed_file import container, reading
from wfn.compressed_file.codebook import pack_codebook, unpack_codebook
from wfn.compressed_file.container import Sections, deflate, unwrap, wrap
from wfn.compressed_file.entropy_code import encode
from wfn.compressed_file.header import Header, pack_header, unpack_header
from wfn.errors import UserError
from wfn.networks.forward_pass import trace

WFN_LIKE = np.array([0, 0.0625, -0.0625, 0.09375, -0.09375, 0.125, -0.125, 0.046875, -0.15625, 0.21875, 0.7, 1], "f4")
SHARES = np.array([0.25, 0.15, 0.15, 0.1, 0.1, 0.07, 0.07, 0.05, 0.03, 0.02, 0.009, 0.001])


def fixed(model, example, values=WFN_LIKE, shares=SHARES):
    """(counted weights, state_dict) of ``model``, its counted weights drawn from ``values``, its buffers random."""
    random, parameters = np.random.default_rng(0), dict(model.named_parameters())
    names = list(trace(model, example).uses)
    with torch.no_grad():
        for name in names:
            parameters[name].copy_(torch.from_numpy(random.choice(values, parameters[name].shape, p=shares)))
        for buffer in model.buffers():
            buffer.copy_(torch.from_numpy(random.random(buffer.shape)) if buffer.is_floating_point() else 1173)
    return {name: parameters[name].detach() for name in names}, model.state_dict()


def tiny():
    weights = {"a": torch.tensor([[0.5, -0.25], [0.0, 0.5]]), "b": torch.tensor(0.75)}
    return weights, weights | {"mean": torch.tensor([0.1, 0.2, 0.3]), "steps": torch.tensor(7)}


def assert_same_bits(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape
        plain = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
        assert torch.equal(found[name].reshape(-1).view(torch.uint8), plain), name


def round_trip(path, weights, state, about=None):
    size = compressed_file.save(path, weights, state, about or {})
    assert size == path.stat().st_size == compressed_file.inspect(path).bytes
    assert_same_bits(compressed_file.load(path), state)
    return compressed_file.inspect(path)


def refused(path, content, match=None):
    """Both readers must refuse ``content``, in one line that names the file."""
    path.write_bytes(content)
    for read in (compressed_file.load, compressed_file.inspect):
        with pytest.raises(UserError, match=match) as caught:
            read(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "network.wfn"


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
    assert entropy * len(values) <= 8 * contents.sections["coded weights"] <= 1.005 * entropy * len(values)
    assert contents.bytes - contents.sections["coded weights"] < 8 * 1024


def test_the_sign_of_zero_and_odd_buffers_survive(path):
    weights = {"w": torch.tensor([0.0, -0.0, 1.0, -0.0])}
    others = {
        "nan": torch.tensor([float("nan"), -0.0, float("inf")]),
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
        "flag": torch.tensor([True, False]),
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 4),
    }
    contents = round_trip(path, weights, weights | others)
    assert len(contents.values) == 3


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
    ],
)
def test_what_cannot_be_written_is_refused(path, weights, state, match):
    with pytest.raises(UserError, match=match) as caught:
        compressed_file.save(path, weights, state, {})
    assert "\n" not in str(caught.value) and not path.exists()


def test_a_huge_network_of_hardly_any_entropy_comes_back(path):
    weights = {"w": torch.zeros(20_000_000)}
    contents = round_trip(path, weights, weights)
    assert contents.sections["coded weights"] == 0
    assert contents.bytes < 13_000
    path.write_bytes(wrap(unwrap(path.read_bytes()), unfolded=0))  # the same without the padding
    with memory_below(50e6), pytest.raises(UserError, match="80,000,000 bytes of weights, more than it can hold"):
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


floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(floats, min_size=1, max_size=40), st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_finite_weights_and_any_description(path, values, about):
    weights = {"w": torch.tensor(values, dtype=torch.float32)}
    assert round_trip(path, weights, weights, about).about == about


# A file that was damaged


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("sound") / "network.wfn"
    compressed_file.save(path, *tiny(), {"model": "tiny"})
    return path.read_bytes()


def test_every_truncation_is_refused(path, sound):
    for length in range(len(sound)):
        refused(path, sound[:length], "not a compressed network|truncated")


def test_a_flipped_bit_in_any_byte_is_refused(path, sound):
    for byte in range(len(sound)):
        content = bytearray(sound)
        content[byte] ^= 1 << byte % 8
        refused(path, bytes(content), "not a compressed network|format version|damaged")


@pytest.mark.parametrize("content", [b"", b"\x00" * 500, b"\x89PNG\r\n\x1a\n" * 9, b"\x80\x04\x95" + b"." * 99])
def test_a_foreign_file_is_refused(path, content):
    refused(path, content, "not a compressed network of ours")


def test_a_newer_file_says_so_whatever_follows(path, sound):
    refused(path, sound[:6] + struct.pack("<H", 2) + sound[8:], "format version 2.*reads 1.*update")


def test_more_behind_the_end_is_refused(path, sound):
    refused(path, sound + b"\x00", "damaged")


def test_what_is_no_file_is_refused(path):
    for missing in (path, path.parent):
        with pytest.raises(UserError, match="cannot read"):
            compressed_file.load(missing)


# A file that was made to do harm: its checksum is right


def header(shapes, shared=(), about=None):
    return deflate(json.dumps([shapes, shared, about or {}]).encode())


def codebook(*columns):
    return deflate(b"".join(np.array(numbers, dtype).tobytes() for numbers, dtype in columns))


def counts(*numbers):
    return np.array(numbers, "<u8").view("u1").reshape(-1, 8).T, "u1"


def one_tensor(**entry):
    text = json.dumps({"m": entry}).encode()
    return deflate(struct.pack("<Q", len(text)) + text + b"four")


BOMB = zlib.compress(bytes(1 << 25), 9)
HALVES = codebook(([2], "<u4"), ([1, 1], "u1"), ([-2, -1], "<i2"), counts(3, 2))  # 0.5 and -0.5
HOSTILE = {
    "header bomb": {"header": BOMB},
    "codebook bomb": {"codebook": BOMB},
    "header not deflated": {"header": b"[]"},
    "header cut off": {"header": header([["a", [2, 2]]])[:-3]},
    "header and more": {"header": header([["a", [2, 2]], ["b", []]]) + b"x"},
    "no JSON": {"header": deflate(b"{")},
    "deep JSON": {"header": deflate(b"[" * 500_000)},
    "endless number": {"header": deflate(b"9" * 500_000)},
    "not UTF-8": {"header": deflate(b'[[["\xff", [5]]], [], {}]')},
    "half a surrogate pair": {"header": header([["\ud800", [5]]])},
    "no list": {"header": deflate(b"7")},
    "nothing": {"header": deflate(b"null")},
    "a name that is a number": {"header": header([[7, [5]]])},
    "a name that is a list": {"header": header([[["a"], [5]]])},
    "a description that is a list": {"header": header([["a", [5]]], about={"model": []})},
    "descriptions in a list": {"header": deflate(b'[[["a", [5]]], [], []]')},
    "a name twice": {"header": header([["a", [2]], ["a", [3]]])},
    "a shared name twice": {"header": header([["a", [5]]], [["a", "a"]])},
    "shares what is not there": {"header": header([["a", [5]]], [["b", "c"]])},
    "negative size": {"header": header([["a", [-5, -1]]])},
    "size as text": {"header": header([["a", "55"]])},
    "size as fraction": {"header": header([["a", [5.0]]])},
    "size as truth": {"header": header([["a", [5, True]]])},
    "huge size": {"header": header([["a", [1 << 40]]])},
    "product overflows": {"header": header([["a", [1 << 33, 1 << 33]]])},
    "product overflows to what is right": {"header": header([["a", [1 << 32, 1 << 32, 1 << 40]], ["b", [5]]])},
    "huge size by nothing": {"header": header([["a", [0, 1 << 40, 1 << 40]], ["b", [5]]])},
    "a dimension too many": {"header": header([["a", [5] + [1] * 64]])},
    "many dimensions": {"header": header([["a", [5] + [1] * 100_000]])},
    "sizes of many digits": {"header": header([["a", [10**4000] * 50]])},
    "too many weights": {"header": header([["a", [6]]])},
    "too many shared": {"header": header([["a", [5]], ["z", [1 << 23]]], [[str(i), "z"] for i in range(99)])},
    "no weights": {"header": header([]), "codebook": codebook(([0], "<u4"))},
    "codebook ends early": {"codebook": codebook(([2], "<u4"), ([1, 1], "u1"))},
    "codebook of nothing": {"codebook": deflate(b"")},
    "codebook goes on": {"codebook": codebook(([1], "<u4"), ([0], "u1"), counts(5), ([0], "u1"))},
    "huge codebook": {"codebook": codebook(([2**32 - 1], "<u4"))},
    "value of many terms": {"codebook": codebook(([1], "<u4"), ([254], "u1"), ([0] * 254, "<i2"), counts(5))},
    "huge power": {"codebook": codebook(([1], "<u4"), ([1], "u1"), ([32767], "<i2"), counts(5))},
    "power too large": {"codebook": codebook(([1], "<u4"), ([1], "u1"), ([256], "<i2"), counts(5))},
    "sum too long": {"codebook": codebook(([1], "<u4"), ([2], "u1"), ([0, -60], "<i2"), counts(5))},
    "infinite value": {"codebook": codebook(([1], "<u4"), ([255], "u1"), ([np.inf], "<f4"), counts(5))},
    "no number": {"codebook": codebook(([1], "<u4"), ([255], "u1"), ([np.nan], "<f4"), counts(5))},
    "a value twice": {"codebook": codebook(([2], "<u4"), ([1, 255], "u1"), ([0], "<i2"), ([1], "<f4"), counts(3, 2))},
    "a value never used": {"codebook": codebook(([2], "<u4"), ([1, 1], "u1"), ([0, 1], "<i2"), counts(5, 0))},
    "counts overflow": {
        "codebook": codebook(([2], "<u4"), ([1, 1], "u1"), ([0, 1], "<i2"), counts(2**64 - 1, 6)),
    },
    "billions of weights in no bytes": {
        "header": header([["a", [1 << 36]]]),
        "codebook": codebook(([1], "<u4"), ([0], "u1"), counts(1 << 36)),
    },
}
HOSTILE_TO_LOAD = {
    "other not deflated": {"others": b"7"},
    "no safetensors": {"others": deflate(b"\xff" * 99)},
    "huge safetensors header": {"others": deflate(struct.pack("<Q", 1 << 62) + b"{}")},
    "huge safetensors shape": {"others": one_tensor(dtype="F32", shape=[1 << 62, 4], data_offsets=[0, 0])},
    "huge safetensors shape by nothing": {"others": one_tensor(dtype="F32", shape=[0, 1 << 62], data_offsets=[0, 0])},
    "unknown dtype": {"others": one_tensor(dtype="F5", shape=[4], data_offsets=[0, 4])},
    "dtype that torch lacks": {"others": one_tensor(dtype="F4", shape=[8], data_offsets=[0, 4])},
    "tensor behind the end": {"others": one_tensor(dtype="F32", shape=[2], data_offsets=[0, 8])},
    "a name in two sections": {"others": deflate(safetensors.torch.save({"a": torch.ones(1)}))},
    "a shared name in two sections": {
        "header": header([["a", [5]]], [["m", "a"]]),
        "others": deflate(safetensors.torch.save({"m": torch.ones(1)})),
    },
    "coded weights end early": {"coded": b""},
    "coded weights go on": {"coded": b"\x01\x02\x03\x04" * 5},
    "coded weights of zeros": {"coded": bytes(8)},
    "half a word": {"coded": b"\x01\x02"},
}


def honest():
    """Five weights, 0.5 or -0.5."""
    return Sections(
        header([["a", [5]]]),
        HALVES,
        encode(np.array([0, 1, 0, 1, 0], np.int32), [3, 2]),
        deflate(safetensors.torch.save({"mean": torch.ones(2)})),
    )


def forged(sections):
    """A file of ``sections`` with a right checksum, whatever they claim."""
    return wrap(sections, unfolded=0)


@contextmanager
def memory_below(limit):
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def test_the_forger_can_forge(path):
    path.write_bytes(forged(honest()))
    assert compressed_file.load(path)["a"].tolist() == [0.5, -0.5, 0.5, -0.5, 0.5]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_by_both_readers(path, name):
    content = forged(replace(honest(), **HOSTILE[name]))
    with memory_below(50e6):
        refused(path, content)


@pytest.mark.parametrize("name", HOSTILE_TO_LOAD)
def test_a_hostile_file_is_not_loaded(path, name):
    path.write_bytes(forged(replace(honest(), **HOSTILE_TO_LOAD[name])))
    with memory_below(150e6), pytest.raises(UserError) as caught:
        compressed_file.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_bomb_among_the_other_tensors_stops_where_the_room_ends(path, monkeypatch):
    monkeypatch.setattr(reading, "room", lambda content: 1 << 20)
    path.write_bytes(forged(replace(honest(), others=BOMB)))
    with memory_below(10e6), pytest.raises(UserError, match="more than the 1048576 bytes"):
        compressed_file.load(path)


@pytest.mark.parametrize("lengths", [(1 << 63,) * 4, (2**64 - 1, 0, 0, 0), (0, 0, 0, 0)])
def test_sections_that_do_not_fill_the_file_are_refused(path, sound, lengths):
    body = sound[:8] + struct.pack("<4Q", *lengths) + sound[40:-16]
    refused(path, body + container._checksum(body), "sections do not fit|something behind its sections")


@given(st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_damage_inside_a_section_under_a_right_checksum_is_refused_or_harmless(path, sound, data):
    """Whatever the bytes are, the readers return tensors or raise UserError, and nothing else."""
    sections = unwrap(sound)
    name = data.draw(st.sampled_from(("header", "codebook", "coded", "others")))
    content = getattr(sections, name)
    inner = content if name == "coded" else zlib.decompress(content)
    damaged = bytearray(inner)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(damaged)))
        stop = data.draw(st.integers(start, min(start + 4, len(damaged))))
        damaged[start:stop] = data.draw(st.binary(max_size=4))
    damaged = bytes(damaged)
    path.write_bytes(forged(replace(sections, **{name: damaged if name == "coded" else deflate(damaged)})))
    for read in (compressed_file.load, compressed_file.inspect):
        try:
            read(path)
        except UserError as error:
            assert "\n" not in str(error)


@given(st.tuples(*[st.binary(max_size=60)] * 4))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_sections_of_noise_are_refused(path, parts):
    refused(path, forged(Sections(*parts)))


# The sections


@given(st.lists(floats, max_size=30, unique_by=lambda value: np.float32(value).tobytes()), st.data())
@settings(max_examples=50, deadline=None)
def test_any_codebook_comes_back(values, data):
    uses = data.draw(st.lists(st.integers(1, 2**40), min_size=len(values), max_size=len(values)))
    values = np.array(values, np.float32)
    found, found_counts = unpack_codebook(pack_codebook(values, np.array(uses, np.int64)))
    assert np.array_equal(found.view(np.uint32), values.view(np.uint32)) and found_counts == uses


def test_short_sums_take_less_than_floats():
    sums = np.unique(np.random.default_rng(0).choice([1, 3, 5, 7, 9], 300) * 2.0 ** -np.arange(300.0) % 1)[:80]
    random = np.random.default_rng(0).random(len(sums))
    ones = np.ones(len(sums), np.int64)
    assert len(pack_codebook(sums.astype("f4"), ones)) < 0.8 * len(pack_codebook(random.astype("f4"), ones))


def test_a_header_comes_back():
    header = Header({"a": (2, 3), "ä": ()}, {"b": "a"}, {"model": "x"})
    assert unpack_header(pack_header(header)) == header and header.weights == 7 and header.tensor_bytes == 4 * 13
