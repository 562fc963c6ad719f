"""A checkpoint is written whole or not at all, and read without trust."""

import errno
import json
import logging
import os
import pickle

import pytest
import safetensors.torch
import torch
from torch import nn

from wfn.errors import UserError
from wfn.training.checkpoint import Checkpoint, Progress, restore
from wfn.training.updates import give_moments, moments_of

TENSORS = {"a": torch.arange(3.0), "b": torch.tensor([1, 2], dtype=torch.int32)}


def test_what_was_saved_is_loaded_bit_for_bit(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    assert checkpoint.load() is None
    checkpoint.save(TENSORS, {"epoch": 3, "centres": [0.1, -0.0]})
    tensors, record = checkpoint.load()
    assert record == {"epoch": 3, "centres": [0.1, -0.0]}
    assert tensors.keys() == TENSORS.keys()
    assert all(
        torch.equal(tensors[name], TENSORS[name]) and tensors[name].dtype == TENSORS[name].dtype for name in TENSORS
    )


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.save(TENSORS, {"epoch": 1})

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"No space left.*saved last is kept.*resume") as caught:
        checkpoint.save(TENSORS, {"epoch": 2})
    assert "\n" not in str(caught.value)
    assert checkpoint.load()[1] == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, pickle.dumps({"a": 1}), b"\xff" * 8 + b"{}"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(UserError, match="not a whole checkpoint"):
        Checkpoint(tmp_path / "c").load()


def test_a_truncated_checkpoint_is_refused(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.save(TENSORS, {})
    whole = (tmp_path / "c").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "c").write_bytes(whole[:length])
        with pytest.raises(UserError):
            checkpoint.load()


def test_no_flipped_bit_goes_unnoticed(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.save(TENSORS, {"epoch": 1})
    whole = (tmp_path / "c").read_bytes()
    for place in range(len(whole)):
        (tmp_path / "c").write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        try:
            tensors, record = checkpoint.load()
        except UserError:
            continue
        assert record == {"epoch": 1}  # a space, or the like
        assert tensors.keys() == TENSORS.keys() and all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_an_older_checkpoint_without_a_checksum_is_taken_and_that_is_told(tmp_path, caplog):
    caplog.set_level(logging.INFO, "wfn")
    safetensors.torch.save_file(TENSORS, tmp_path / "c", {"record": json.dumps({"epoch": 1})})
    tensors, record = Checkpoint(tmp_path / "c").load()
    assert record == {"epoch": 1} and tensors.keys() == TENSORS.keys()
    assert "of an older version, without a checksum" in caplog.text


@pytest.mark.parametrize("change", [{"record": "[1]"}, {"record": "[" * 100_000}, {"odd": "1"}, {"sha256": ""}])
def test_metadata_that_are_not_ours_are_refused(tmp_path, change):
    safetensors.torch.save_file(TENSORS, tmp_path / "c", {"record": "{}"} | change)
    with pytest.raises(UserError, match="not a whole checkpoint"):
        Checkpoint(tmp_path / "c").load()


@pytest.mark.parametrize(
    "change",
    [
        {"iteration": 0},
        {"iteration": 4},
        {"iteration": True},
        {"iteration": 10**30},
        {"epoch": -1},
        {"epoch": "1"},
        {"records": None},
        {"records": [{"iteration": 2}]},
        {"records": [{"iteration": 1, "x": "y"}]},
    ],
)
def test_progress_that_no_run_makes_is_refused(change):
    sound = {"iteration": 2, "epoch": 1, "records": [{"iteration": 1, "top1": 90.0, "left": None}]}
    assert Progress.of(sound, iterations=2) == Progress(**sound)
    with pytest.raises(ValueError, match="must be"):
        Progress.of(sound | change, iterations=2)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_moments_come_back_and_others_never_reach_the_optimiser(kind):
    options = {"lr": 0.1, "fused": True} if kind is torch.optim.Adam else {"lr": 0.1, "momentum": 0.9}
    parameter = nn.Parameter(torch.ones(100))
    parameter.grad = torch.ones(100)
    optimiser = kind([parameter], **options)
    optimiser.step()
    moments = {name: moment.clone() for name, moment in moments_of(optimiser, parameter).items()}
    other = kind([parameter], **options)
    give_moments(other, parameter, moments)
    assert moments_of(other, parameter).keys() == moments.keys()
    odd = [{name: moment} for name, moment in moments.items() if len(moments) > 1] + [moments | {"more": torch.ones(1)}]
    for name, moment in moments.items():
        changes = [moment[:7] if moment.dim() else moment.reshape(1), moment.double(), moment * float("nan")]
        odd += [moments | {name: change} for change in changes]
    for state in odd:
        fresh = kind([parameter], **options)
        with pytest.raises(ValueError, match="moment"):
            give_moments(fresh, parameter, state)
        assert not moments_of(fresh, parameter)


class Keeper:
    """Something with a state: a vector, and a codebook that may grow."""

    def __init__(self):
        self.state = {"values": torch.zeros(3), "centres": torch.zeros(0), "mask": torch.tensor([-torch.inf, 0.0])}

    def state_dict(self):
        return dict(self.state)

    def load_state_dict(self, state):
        for name in self.state:
            self.state[name] = state[name]


@pytest.mark.parametrize(
    "change",
    [
        {"values": torch.ones(1)},
        {"values": torch.ones(3, 1)},
        {"values": torch.ones(3).double()},
        {"values": torch.tensor([1.0, torch.nan, 1.0])},
        {"centres": torch.ones(2, 2)},
        {"centres": torch.tensor([torch.inf])},
        {"mask": torch.tensor([-torch.inf, torch.inf])},
        {"more": torch.ones(3)},
    ],
)
def test_only_a_state_of_its_own_kind_is_restored(change):
    sound = {"values": torch.ones(3), "centres": torch.ones(5), "mask": torch.tensor([-torch.inf, 1.0])}
    keeper = Keeper()
    restore(keeper, sound)
    assert all(torch.equal(keeper.state[name], sound[name]) for name in sound)
    with pytest.raises(ValueError, match=next(iter(change))):
        restore(Keeper(), sound | change)
    with pytest.raises(ValueError, match="lacks values"):
        restore(Keeper(), {name: sound[name] for name in ("centres", "mask")})
