"""A checkpoint is written whole or not at all, and read without trust."""

import errno
import os
import pickle

import pytest
import torch

from wfn.errors import UserError
from wfn.training.checkpoint import Checkpoint

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
