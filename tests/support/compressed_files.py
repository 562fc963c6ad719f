"""Weights to write as a compressed file, and what must hold of every file."""

import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from wfn import compressed_file
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
    contents = compressed_file.inspect(path)
    unsigned = {*weights, *contents.shared}  # a counted weight of -0.0 comes back as 0.0
    assert_same_bits(compressed_file.load(path), {n: t + 0.0 if n in unsigned else t for n, t in state.items()})
    return contents


def refused(path, content, match=None):
    """Both readers must refuse ``content``, in one line that names the file."""
    path.write_bytes(content)
    for read in (compressed_file.load, compressed_file.inspect):
        with pytest.raises(UserError, match=match) as caught:
            read(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@contextmanager
def memory_below(limit):
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()
