"""A file that was made to do harm, with a right checksum, gets no more than an error: no memory, no other exception."""

import json
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.compressed_files import memory_below, refused
from wfn import compressed_file
from wfn.compressed_file import container, reading
from wfn.compressed_file.coding import MODELS, NEIGHBOURS, STATIC, adaptive, static
from wfn.compressed_file.coding.extent import Extent
from wfn.compressed_file.container import Sections, deflate, unwrap, wrap
from wfn.errors import UserError


def header(shapes, shared=(), about=None, coding=STATIC):
    return deflate(json.dumps([shapes, shared, about or {}, coding]).encode())


def codebook(*columns):
    return deflate(b"".join(np.array(numbers, dtype).tobytes() for numbers, dtype in columns))


def counts(*numbers):
    return np.array(numbers, "<u8").view("u1").reshape(-1, 8).T, "u1"


def lowest_first(*numbers):
    return np.array(numbers, "<u4").view("u1").reshape(-1, 4).T, "u1"


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
    "coded by nobody's model": {"header": header([["a", [5]]], coding="magic")},
    "coded by a number": {"header": header([["a", [5]]], coding=7)},
    "coded by a list": {"header": header([["a", [5]]], coding=["left"])},
    "more in the header": {"header": deflate(b'[[["a", [5]]], [], {}, "static", 1, 2, 3]')},
    "many dimensions": {"header": header([["a", [5] + [1] * 100_000]])},
    "sizes of many digits": {"header": header([["a", [10**4000] * 50]])},
    "too many weights": {"header": header([["a", [6]]])},
    "too many shared": {"header": header([["a", [5]], ["z", [1 << 23]]], [[str(i), "z"] for i in range(99)])},
    "no weights": {"header": header([]), "codebook": codebook(([0], "<u4"))},
    "codebook ends early": {"codebook": codebook(([2], "<u4"), ([1, 1], "u1"))},
    "codebook of nothing": {"codebook": deflate(b"")},
    "codebook goes on": {"codebook": codebook(([1], "<u4"), ([0], "u1"), counts(5), ([0], "u1"))},
    "huge codebook": {"codebook": codebook(([2**32 - 1], "<u4"))},
    "value of many terms": {"codebook": codebook(([1], "<u4"), ([253], "u1"), ([0] * 253, "<i2"), counts(5))},
    "distances that go too far": {
        "codebook": codebook(([2], "<u4"), ([254, 254], "u1"), lowest_first(2**32 - 9, 9), counts(3, 2)),
    },
    "a distance of nothing": {
        "codebook": codebook(([2], "<u4"), ([254, 254], "u1"), lowest_first(2**31, 0), counts(3, 2)),
    },
    "a distance to what is no number": {
        "codebook": codebook(([2], "<u4"), ([254, 254], "u1"), lowest_first(2**31, 2**31 - 1), counts(3, 2)),
    },
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
    "safetensors header of sizes": {"others": one_tensor(dtype="F32", shape=[0] * 5_000_000, data_offsets=[0, 0])},
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
}
WRONG_CODES = {
    "end early": b"",
    "go on": b"\x01\x02\x03\x04" * 5,
    "are zeros": bytes(8),
    "are half a word": b"\x01\x02",
    "are ones": b"\xff" * 8,
    "are many ones": b"\xff" * 400,
}


def honest(model=STATIC):
    """Five weights, 0.5 or -0.5."""
    symbols, extents = np.array([0, 1, 0, 1, 0], np.int32), [Extent.of([5])]
    is_static = model == STATIC
    return Sections(
        header([["a", [5]]], coding=model),
        HALVES,
        static.encode(symbols, [3, 2]) if is_static else adaptive.encode(symbols, [3, 2], extents, NEIGHBOURS[model]),
        deflate(safetensors.torch.save({"mean": torch.ones(2)})),
    )


def forged(sections):
    """A file of ``sections`` with a right checksum, whatever they claim."""
    return wrap(sections, unfolded=0)


@pytest.mark.parametrize("model", MODELS)
def test_the_forger_can_forge(path, model):
    path.write_bytes(forged(honest(model)))
    assert compressed_file.load(path)["a"].tolist() == [0.5, -0.5, 0.5, -0.5, 0.5]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_by_both_readers(path, name):
    content = forged(replace(honest(), **HOSTILE[name]))
    with memory_below(50e6):
        refused(path, content)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", WRONG_CODES)
def test_coded_weights_that_are_none_are_not_loaded(path, model, name):
    path.write_bytes(forged(replace(honest(model), coded=WRONG_CODES[name])))
    with pytest.raises(UserError, match="coded weights"):
        compressed_file.load(path)


@pytest.mark.parametrize("name", HOSTILE_TO_LOAD)
def test_a_hostile_file_is_not_loaded(path, name):
    path.write_bytes(forged(replace(honest(), **HOSTILE_TO_LOAD[name])))
    with memory_below(150e6), pytest.raises(UserError) as caught:
        compressed_file.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_bomb_among_the_other_tensors_stops_where_the_room_ends(path, monkeypatch):
    monkeypatch.setattr(reading, "room", lambda content: 1 << 20)
    path.write_bytes(forged(replace(honest(), others=BOMB)))
    with memory_below(10e6), pytest.raises(UserError, match="more than the 524278 bytes"):
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
