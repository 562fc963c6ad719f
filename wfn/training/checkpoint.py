"""The state of a run between two epochs, on disk: written whole or not at all, and read without trust."""

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wfn.errors import UserError
from wfn.system.files import write_atomically


class Checkpoint:
    """A file that holds tensors and a JSON record; the last one saved whole survives a crash and a full disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, tensors: Mapping[str, Tensor], record: Mapping[str, object]) -> None:
        """Replace what the file holds.

        Raises:
            UserError: it cannot be written; the file that was there is untouched.
        """
        try:
            metadata = {"record": json.dumps(record)}
            write_atomically(self.path, safetensors.torch.save(dict(tensors), metadata))
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
