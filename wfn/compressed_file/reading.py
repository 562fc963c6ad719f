"""A compressed file back into tensors."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wfn.compressed_file.coding import decoder
from wfn.compressed_file.coding.extent import Extent
from wfn.compressed_file.container import inflate, reading, room, unwrap
from wfn.compressed_file.contents import outline
from wfn.compressed_file.tensors_section import unpack_tensors
from wfn.errors import UserError

_CHUNK = 1 << 20


def load(path: str | Path, noise: torch.Generator | None = None) -> dict[str, Tensor]:
    """Read the whole ``state_dict`` that :func:`wfn.compressed_file.save` wrote, on the CPU.

    Every tensor comes back bit for bit, but for signs of zeros: among the counted weights those have none, but in
    earlier files, which kept it. A tensor that goes by several names is given under each of them, in memory of its own.

    Args:
        path: of the file.
        noise: where given, the counted weights are a sample instead: each is drawn from the normal distribution around
            its value, with its value's deviation.

    Raises:
        UserError: the file cannot be read, or is foreign, newer, truncated, damaged or dishonest; ``noise`` is given,
            and the file has no deviations.
    """
    with reading(Path(path)) as content:
        sections = unwrap(content)
        most_bytes = room(len(content))
        header, values, counts, deviations = outline(sections, most_bytes)
        most_others = (most_bytes - header.unfolded(0)) // 2
        tensors = unpack_tensors(inflate("section of other tensors", sections.others, most_others))
        if noise and deviations is None:
            raise UserError(f"{path} has no deviations to sample with: give a network whose values have some")
        coded = decoder(header.coding, sections.coded, counts)
        for name, shape in header.shapes.items():
            symbols = coded.take(Extent.of(shape))
            if noise and deviations is not None:
                spread = torch.from_numpy(deviations[symbols].reshape(shape))
                mean = torch.from_numpy(values[symbols].reshape(shape))
                _add(tensors, name, mean + spread * torch.randn(shape, generator=noise))
            else:
                _add(tensors, name, torch.from_numpy(_replaced(symbols, values).reshape(shape)))
        coded.end()
        for name, owner in header.shared.items():
            _add(tensors, name, tensors[owner].clone())
    return tensors


def _replaced(symbols: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The values of ``symbols``, int32 [n], float32 [n] in the very memory of these: there may be no more of it."""
    weights = symbols.view(np.float32)
    for start in range(0, len(symbols), _CHUNK):
        weights[start : start + _CHUNK] = values[symbols[start : start + _CHUNK]]
    return weights


def _add(tensors: dict[str, Tensor], name: str, tensor: Tensor) -> None:
    if name in tensors:
        raise ValueError(f"it has tensor {name[:80]!r} twice")
    tensors[name] = tensor
