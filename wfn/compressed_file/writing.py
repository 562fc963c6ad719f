"""A fixed network into a compressed file."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wfn.compressed_file.codebook_section import pack_codebook
from wfn.compressed_file.coding import encode
from wfn.compressed_file.coding.extent import Extent
from wfn.compressed_file.container import Sections, deflate, wrap
from wfn.compressed_file.contents import inspect
from wfn.compressed_file.header import Header, pack_header
from wfn.compressed_file.reading import load
from wfn.compressed_file.tensors_section import pack_tensors
from wfn.errors import UserError
from wfn.networks.running_statistics import is_statistic
from wfn.system.files import write_atomically
from wfn.system.fingerprint import fingerprint

log = logging.getLogger(__name__)


def save(
    path: str | Path,
    weights: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    about: Mapping[str, str],
    deviations: Mapping[float, float] | None = None,
) -> int:
    """Write a fixed network to ``path``, whole or not at all; what stood there is replaced.

    Returns:
        the size of the file on disk, bytes: ``artefact_bytes``.

    Raises:
        UserError: as :func:`pack`; the file cannot be written.
    """
    content = pack(weights, state, about, deviations)
    try:
        write_atomically(Path(path), content)
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror or error}): name another place, or make room") from error
    return len(content)


def pack(
    weights: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    about: Mapping[str, str],
    deviations: Mapping[float, float] | None = None,
) -> bytes:
    """Return the content of the file; how many zeros lose their sign is logged.

    Args:
        weights: the counted weights by name, float32 of any shape, as in :attr:`wfn.interface.Quantised.weights`; -0.0
            is written as 0.0.
        state: the network's whole ``state_dict``. A counted weight is written as ``weights`` has it. A tensor here that
            has the very bits of a counted one (a shared parameter) is written once.
        about: anything that people should know of the file.
        deviations: value -> standard deviation of the noise around it, of a network that is to be sampled from; 0 for
            values that are not there. None and an empty one stand for no such network.

    Raises:
        UserError: the weights have more than :data:`wfn.compressed_file.MOST_VALUES` distinct values; they do not fit
            ``state``, or are not finite float32; the header or the other tensors cannot be written
            (:func:`wfn.compressed_file.header.pack_header`, :func:`wfn.compressed_file.tensors_section.pack_tensors`).
    """
    arrays = {name: _counted(name, tensor, state) for name, tensor in weights.items()}
    shared = _shared(weights, state)
    others = {name: tensor for name, tensor in state.items() if name not in weights and name not in shared}
    shapes = {name: array.shape for name, array in arrays.items()}
    flat = np.concatenate([np.zeros(0, np.float32), *(array.reshape(-1) for array in arrays.values())])
    if not flat.size:
        raise UserError("there are no weights to write: expected at least one parameter that the forward pass uses")
    if signed := np.count_nonzero(np.signbit(flat) & (flat == 0)):
        log.info(f"the compressed file drops the sign of {signed:,} zeros: -0.0 and 0.0 are one value")
    flat = flat + np.float32(0.0)  # which turns -0.0 into 0.0
    values, symbols, counts = np.unique(flat, return_inverse=True, return_counts=True)
    codebook, packed = pack_codebook(values, counts, _deviations(values, deviations)), pack_tensors(others)
    extents = [Extent.of(shape) for shape in shapes.values()]
    model, coded = encode(symbols.astype(np.int32), counts.tolist(), extents)
    header = Header(shapes, shared, about, model)
    sections = Sections(pack_header(header), codebook, coded, deflate(packed))
    return wrap(sections, header.unfolded(len(packed)))


def recoded(path: str | Path) -> bytes:
    """The content of a file of the same network as this version writes it, whichever version wrote the one at ``path``.

    Raises:
        UserError: it cannot be read, is not such a file, or is damaged.
    """
    contents, state = inspect(path), load(path)
    weights = {name: state[name] for name in contents.shapes}
    deviations = None
    if contents.deviations is not None:
        deviations = dict(zip(contents.values.tolist(), contents.deviations.tolist(), strict=True))
    return pack(weights, state, contents.about, deviations)


def _deviations(values: np.ndarray, deviations: Mapping[float, float] | None) -> np.ndarray | None:
    if not deviations:
        return None
    return np.array([deviations.get(value, 0.0) for value in values.tolist()], np.float32)


def _counted(name: str, tensor: Tensor, state: Mapping[str, Tensor]) -> np.ndarray:
    if name not in state or state[name].shape != tensor.shape:
        there = f"one of shape {tuple(state[name].shape)}" if name in state else "none"
        raise UserError(f"weight {name!r} of shape {tuple(tensor.shape)} must be in the state_dict, which has {there}")
    if tensor.dtype != torch.float32:
        raise UserError(f"weight {name!r} is {tensor.dtype}: expected torch.float32, convert it first")
    if not torch.isfinite(tensor).all():
        raise UserError(f"weight {name!r} holds NaN or infinity: weights must be finite, check how it was trained")
    return tensor.detach().cpu().contiguous().numpy()


def _shared(weights: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, str]:
    """Further name -> the counted weight that it is another name of, as far as their bits tell.

    Running statistics are none, whatever their bits: where weights are sampled, they are not.
    """
    shapes = {tensor.shape for tensor in weights.values()}
    owner = {fingerprint([state[name]]): name for name in weights}
    others = (name for name in state if name not in weights and not is_statistic(name))
    candidates = (name for name in others if getattr(state[name], "shape", None) in shapes)
    prints = {name: fingerprint([state[name]]) for name in candidates}
    return {name: owner[found] for name, found in prints.items() if found in owner}
