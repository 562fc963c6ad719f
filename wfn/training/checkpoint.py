"""Resumable progress of a training run, on disk: written whole or not at all, and read without trust."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wfn.errors import UserError
from wfn.system.files import write_atomically


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
            metadata = {"record": json.dumps(record)}
            contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
            write_atomically(self.path, safetensors.torch.save(contiguous, metadata))
        except OSError as error:
            raise UserError(
                f"cannot write the checkpoint {self.path}: {error.strerror or error}; the one saved last is kept: "
                "make room, then go on with resume"
            ) from error

    def load(self) -> tuple[dict[str, Tensor], dict] | None:
        """The tensors (on the CPU) and the record, or None where nothing was saved yet.

        Raises:
            UserError: the file is not a checkpoint of ours.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
                return tensors, json.loads((file.metadata() or {})["record"])
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise UserError(f"{self.path} is not a whole checkpoint ({error}): start the run anew") from error


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The ``tensors`` with ``prefix`` before their names."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def of(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of ``tensors`` whose names begin with ``prefix``, by what follows it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
