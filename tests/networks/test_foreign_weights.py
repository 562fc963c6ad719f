"""Files of weights that are none of this network, or of none: each is refused in one line, or converted to the bit."""

import logging

import pytest
import torch

from wfn import networks
from wfn.errors import UserError
from wfn.networks.weights import load_weights

NAME = "fc.weight"


def build():
    torch.manual_seed(0)
    return networks.build("small_resnet", 10, (1, 8, 8))


def load(tmp_path, **changes):
    """A network with weights from a file that holds those of another seed, some of them changed."""
    state = dict(networks.build("small_resnet", 10, (1, 8, 8)).state_dict()) | changes
    torch.save(state, tmp_path / "w.pth")
    model = build()
    load_weights(model, str(tmp_path / "w.pth"), "small_resnet")
    return model, state


def like(dtype):
    return torch.ones(10, 32, dtype=dtype)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (like(torch.int64), "hold int64 in fc.weight, but it must be float32"),
        (like(torch.bool), "hold bool in fc.weight"),
        (like(torch.complex64), "hold complex64 in fc.weight"),
        (like(torch.float64) * 1e300, "numbers up to 1e+300, too large for float32, in fc.weight"),
        (like(torch.float32) * float("nan"), "hold NaN or infinity in fc.weight"),
        (like(torch.float32).to_sparse(), "fc.weight is sparse"),
        (torch.empty(10, 32, device="meta"), "fc.weight says 10x32, but has no such numbers"),
        (torch.ones(1).expand(10, 32), "fc.weight says 10x32, but has no such numbers"),
        (torch.ones(1).expand(1 << 40), "has no such numbers"),
    ],
    ids=["integers", "booleans", "complex", "overflow", "nan", "sparse", "meta", "expanded", "absurd"],
)
def test_numbers_that_no_network_has_are_refused(tmp_path, value, words):
    with pytest.raises(UserError) as refused:
        load(tmp_path, **{NAME: value})
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_a_variance_below_zero_is_refused(tmp_path):
    name = next(name for name in build().state_dict() if name.endswith("running_var"))
    with pytest.raises(UserError, match="a variance is 0 or more"):
        load(tmp_path, **{name: torch.full((16,), -0.5)})


@pytest.mark.parametrize("key", [0, None, b"fc", "\x1b[31m", "x" * 100_000])
def test_names_that_are_none_are_refused(tmp_path, key):
    torch.save(dict(build().state_dict()) | {key: torch.ones(1)}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="names must be short printable texts") as refused:
        load_weights(build(), str(tmp_path / "w.pth"), "small_resnet")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_another_width_are_converted(tmp_path, dtype, caplog):
    caplog.set_level(logging.INFO, "wfn")
    values = torch.linspace(-1, 1, 320, dtype=torch.float64).reshape(10, 32).to(dtype)
    model, _ = load(tmp_path, **{NAME: values})
    assert torch.equal(model.state_dict()[NAME], values.float())
    assert ("fc.weight is float64 and was rounded to float32" in caplog.text) == (dtype == torch.float64)
