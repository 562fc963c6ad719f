"""Resumable progress of a training run, on disk: written whole or not at all, and read without trust."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wfn.errors import UserError
from wfn.system.files import write_atomically
from wfn.system.fingerprint import by_name, fingerprint

log = logging.getLogger(__name__)
RECORD, CHECKSUM = "record", "sha256"  # the names of a file's metadata; older files have no checksum


@dataclass
class Progress:
    """How far a training run has come.

    Attributes:
        iteration: the one in progress, from 1.
        epoch: how many epochs of its training are done.
        records: one row for each iteration that is done.
    """

    iteration: int = 1
    epoch: int = 0
    records: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def of(cls, record: Mapping[str, object], iterations: int) -> "Progress":
        """What ``asdict`` of one gave, for a method of so many ``iterations``.

        Raises:
            ValueError: it cannot be that of such a run.
        """
        iteration, epoch, rows = record["iteration"], record["epoch"], record["records"]
        if type(iteration) is not int or not 1 <= iteration <= iterations + 1:
            raise ValueError(f"iteration must be from 1 to {iterations + 1}, but is {iteration!r:.40}")
        if type(epoch) is not int or epoch < 0:
            raise ValueError(f"epoch must be a number from 0, but is {epoch!r:.40}")
        if not isinstance(rows, list) or not all(map(_is_row, rows)):
            raise ValueError("records must be rows of numbers")
        if [row.get("iteration") for row in rows] != [*range(1, iteration)]:
            raise ValueError(f"records must be those of the iterations before {iteration}")
        return cls(iteration, epoch, rows)


def _is_row(row: object) -> bool:
    return isinstance(row, dict) and all(value is None or isinstance(value, int | float) for value in row.values())


class Checkpoint:
    """A file that holds tensors and a JSON record; the last one saved whole survives a crash and a full disk.

    Whose tensors they are it does not know: network, method and update give theirs under names of their own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, tensors: Mapping[str, Tensor], record: Mapping[str, object]) -> None:
        """Replace what the file holds.

        Raises:
            UserError: it cannot be written; the file that was there is untouched.
        """
        try:
            text = json.dumps(record)
            contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
            metadata = {RECORD: text, CHECKSUM: _checksum(contiguous, text)}
            write_atomically(self.path, safetensors.torch.save(contiguous, metadata))
        except OSError as error:
            raise UserError(
                f"cannot write the checkpoint {self.path}: {error.strerror or error}; the one saved last is kept: "
                "once that is mended, go on with resume"
            ) from error

    def load(self) -> tuple[dict[str, Tensor], dict] | None:
        """The tensors (on the CPU) and the record, or None where nothing was saved yet.

        A checkpoint of a version that wrote no checksum is taken, and that is told: what is restored of it is checked
        for all else (:func:`restore`), but a weight that a fault has changed to another finite number is not noticed.

        Raises:
            UserError: the file is not a checkpoint of ours, or not as it was saved.
        """
        if not self.path.exists():
            return None
        try:
            if not self.path.is_file():
                raise ValueError("it is no file")
            with safe_open(self.path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
                metadata = file.metadata() or {}
            if foreign := metadata.keys() - {RECORD, CHECKSUM}:
                raise ValueError(f"its metadata have {min(foreign)!r:.40}")
            record = json.loads(metadata[RECORD])
            if not isinstance(record, dict):
                raise ValueError(f"its record must be an object, but is {record!r:.40}")
            if CHECKSUM in metadata and metadata[CHECKSUM] != _checksum(tensors, metadata[RECORD]):
                raise ValueError("it is not as it was saved: its checksum is another")
        except (SafetensorError, OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
            raise UserError(f"{self.path} is not a whole checkpoint ({error}): start the run anew") from error
        if CHECKSUM not in metadata:
            log.info(
                "%s is of an older version, without a checksum: damage to single weights would not show", self.path
            )
        return tensors, record


def _checksum(tensors: Mapping[str, Tensor], record: str) -> str:
    return fingerprint([record, *by_name(tensors)])


class Stateful(Protocol):
    """What a checkpoint keeps the state of: a method's training, an update, a network's buffers."""

    def state_dict(self) -> dict[str, Tensor]: ...
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None: ...


def restore(owner: Stateful, state: Mapping[str, Tensor]) -> None:
    """Have ``owner`` take ``state``, and prove that it has taken all of it: it gives the same back, bit for bit.

    Before it takes anything, names, shapes, dtypes and finiteness are compared with what it would keep now. A vector
    that is empty now (a codebook before the first clustering) may have any length, and names that it has not now (an
    optimiser's moments before the first step) are its own to check.

    Raises:
        ValueError: ``state`` is not of that kind.
    """
    _check_alike(state, owner.state_dict())
    owner.load_state_dict(state)
    taken = owner.state_dict()
    for name in taken.keys() | state.keys():
        if name not in taken:
            raise ValueError(f"{name} is of nothing in this run")
        if name not in state or not _same(taken[name], state[name]):
            raise ValueError(f"{name} does not fit this run")


def _same(one: Tensor, other: Tensor) -> bool:
    return (one.dtype, one.shape) == (other.dtype, other.shape) and torch.equal(one.detach().cpu(), other)


def _check_alike(state: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> None:
    for name, tensor in now.items():
        if name not in state:
            raise ValueError(f"it lacks {name}")
        found, may_grow = state[name], tensor.dim() == 1 and not tensor.numel()
        if found.dtype != tensor.dtype or (found.dim() != 1 if may_grow else found.shape != tensor.shape):
            raise ValueError(f"{name} is {_kind(found)} and should be {_kind(tensor)}")
    for name, tensor in state.items():
        if tensor.is_floating_point() and not (finite := torch.isfinite(tensor)).all():
            there = now.get(name)  # a mask may hold infinity
            if there is None or there.shape != tensor.shape or not (finite | ~torch.isfinite(there.cpu())).all():
                raise ValueError(f"{name} holds NaN or infinity")


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The ``tensors`` with ``prefix`` before their names."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def of(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of ``tensors`` whose names begin with ``prefix``, by what follows it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
