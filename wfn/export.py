"""Between a run's files, the compressed file and safetensors, for people at the command line."""

import json
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open

from wfn import artefact
from wfn.errors import UserError
from wfn.record import Record
from wfn.results import FIXED
from wfn.system.files import write_atomically


def export(record: Record, path: Path) -> int:
    """Write the fixed network that a run has left to ``path`` as a compressed file; return its size, bytes.

    Raises:
        UserError: there is no such network, or it has too many distinct values; ``path`` cannot be written.
    """
    try:
        with safe_open(record.files / FIXED, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            metadata = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
        weights = {name: state[name] for name in metadata["counted"]}
        return artefact.save(path, weights, state, metadata["about"])
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise UserError(f"run {record.id} has no sound {FIXED} ({error}): export it when it is finished") from error
    except KeyError as error:
        raise UserError(f"{FIXED} of run {record.id} lacks {error}: it is an older version's, run it anew") from error


def unfold(path: Path, target: Path) -> int:
    """Write the ``state_dict`` in the compressed file ``path`` to ``target``, as safetensors; return how many tensors.

    Raises:
        UserError: ``path`` cannot be read, is no sound compressed file, or ``target`` cannot be written.
    """
    state = artefact.load(path)
    try:
        write_atomically(target, safetensors.torch.save(state))
    except OSError as error:
        raise UserError(f"cannot write {target} ({error.strerror or error}): name another place") from error
    return len(state)
