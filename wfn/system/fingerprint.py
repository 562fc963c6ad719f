"""What identifies data: a hash of its content."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wfn.errors import UserError

_sound: set[tuple[str, int, int, str]] = set()  # files found so in this process: path, size, time of change, sum


def has_sha256(path: Path, content: np.ndarray, expected: str) -> bool:
    """Whether the ``content`` of the file ``path``, which was just read, has that SHA-256 (hex).

    It is computed once for each state of a file, for a process may load the same data again and again.
    """
    state = path.stat()
    key = str(path.resolve()), state.st_size, state.st_mtime_ns, expected
    if key not in _sound and hashlib.sha256(np.ascontiguousarray(content).data).hexdigest() == expected:
        _sound.add(key)
    return key in _sound


def file_sha256(option: str, file: str) -> str:
    """The SHA-256 (hex) of the ``file`` that an ``option`` names, which identifies it whatever it is called.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with Path(file).expanduser().open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{option} {file!r} could not be read ({error.strerror}): give one that can") from error


def fingerprint(parts: Iterable[Tensor | str]) -> str:
    """Return the sha256 (hex) over ``parts``: of a tensor its dtype, shape and bytes, wherever it lies and dense."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(f"text {len(part)} {part}\n".encode(errors="surrogateescape"))  # a file's name may be any
        else:
            digest.update(f"{part.dtype} {tuple(part.shape)}\n".encode())
            whole = part.detach().cpu().to_dense()
            digest.update(whole.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def by_name(tensors: Mapping[str, Tensor]) -> Iterator[Tensor | str]:
    """What :func:`fingerprint` takes of named tensors, in whatever order they come: name, tensor, name, ..."""
    return (part for entry in sorted(tensors.items()) for part in entry)
