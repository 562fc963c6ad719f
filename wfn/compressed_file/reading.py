"""A compressed file back into tensors."""

from math import prod
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from wfn.compressed_file.container import inflate, reading, room, unwrap
from wfn.compressed_file.contents import outline
from wfn.compressed_file.entropy_code import decode


def load(path: str | Path) -> dict[str, Tensor]:
    """Read the whole ``state_dict`` that :func:`wfn.compressed_file.save` wrote, on the CPU, every tensor bit for bit.

    A tensor that goes by several names is given under each of them, in memory of its own.

    Raises:
        UserError: the file cannot be read, or is foreign, newer, truncated, damaged or dishonest.
    """
    with reading(Path(path)) as content:
        sections = unwrap(content)
        most_bytes = room(len(content))
        header, values, counts = outline(sections, most_bytes)
        tensors = _tensors(inflate("section of other tensors", sections.others, most_bytes))
        symbols, start = decode(sections.coded, counts), 0
        for name, shape in header.shapes.items():
            end = start + prod(shape)
            _add(tensors, name, torch.from_numpy(values[symbols[start:end]].reshape(shape)))
            start = end
        for name, owner in header.shared.items():
            _add(tensors, name, tensors[owner].clone())
    return tensors


def _add(tensors: dict[str, Tensor], name: str, tensor: Tensor) -> None:
    if name in tensors:
        raise ValueError(f"it has tensor {name[:80]!r} twice")
    tensors[name] = tensor


def _tensors(content: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content)
    except (KeyError, RuntimeError, TypeError) as error:  # kinds of number that torch or safetensors does not know
        raise ValueError(f"its other tensors are not sound ({error})") from error
