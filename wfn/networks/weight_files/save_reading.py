"""Files of trained weights as people have them, read without running any code in them."""

import json
import logging
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wfn.errors import UserError, printable

log = logging.getLogger(__name__)

# Where files in the wild keep the state_dict, when it is not the file itself; and weights averaged over training.
ENTRIES = ("state_dict", "model", "net", "model_state_dict", "model_state", "network", "weights", "module", "params")
AVERAGED = ("state_dict_ema", "model_ema", "ema", "ema_state_dict", "ema_model", "params_ema", "swa_state_dict")
MOST_LETTERS = 300  # of a tensor's name
MOST_HEADER = 100_000_000  # bytes, as safetensors itself has it
INDEX = ".index.json"
_PART = re.compile(r"-\d{5}-of-(\d{5})\.\w+$")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state_dict in a file: of ``torch.save``, of safetensors, or an index of several of these.

    Which of them it is, its content tells, not its name.

    Raises:
        UserError: there is no such file; it is of another kind, which the message names; it is damaged; it holds no
            state_dict of plain, dense tensors.
    """
    if not path.is_file():
        raise UserError(f"weights file {str(path)!r} does not exist: give a file, or 'torchvision'")
    try:
        with path.open("rb") as file:
            start = file.read(512)
        if start.lstrip()[:1] == b"{" and (path.name.endswith(INDEX) or b'"weight_map"' in path.read_bytes()):
            return _sharded(path)
    except OSError as error:
        raise _unreadable(path, f"{error.strerror or error}") from error
    if kind := _foreign_kind(path, start):
        raise _unreadable(path, kind)
    if _is_safetensors(start) or (path.suffix == ".safetensors" and start[:2] != b"PK"):
        return _plain(_of_safetensors(path), path)
    return _plain(_state_dict_in(_of_torch(path), path), path)


def _unreadable(path: Path, kind: str) -> UserError:
    what = "is not a sound safetensors file" if path.suffix == ".safetensors" else "could not be read"
    return UserError(f"weights file {str(path)!r} {what}: {kind}")


def _foreign_kind(path: Path, start: bytes) -> str:
    """What a file is that is none of weights, and what to do; empty for one that may be."""
    text = start.lstrip().lower()
    kinds: list[tuple[bool, str]] = [
        (not start, "it is empty, as a download that failed leaves it; get it anew"),
        (
            text.startswith(b"version https://git-lfs"),
            "it is a Git LFS pointer, not the file that it stands for; run 'git lfs pull' where it was cloned",
        ),
        (
            text.startswith((b"<!doctype", b"<html", b"<?xml")),
            "it is an HTML or XML page, as a download that failed leaves it; get the file itself",
        ),
        (text.startswith((b"{", b"[")), "it is a text file (JSON); give the file of the weights"),
        (start.startswith(b"\x1f\x8b"), "it is packed by gzip; unpack it first"),
        (start.startswith(b"\x89HDF"), "it is an HDF5 file (Keras); give weights that torch has saved"),
        (start.startswith(b"\x93NUMPY"), "it is an array of numpy; give weights that torch has saved"),
        (path.suffix == ".onnx", "it is an ONNX graph; give the weights of the network that it was made from"),
        (
            path.suffix == ".wfn",
            "it is a compressed file of this project; unfold it by 'wfn load FILE OUT.safetensors'",
        ),
    ]
    found = next((kind for holds, kind in kinds if holds), "")
    return found or (_foreign_archive(path) if start.startswith(b"PK") else "")


def _foreign_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "it is a torn archive, as a download that was cut off leaves it; get it anew"
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        return (
            "it is a TorchScript archive, which is code; where you trust it, save "
            "torch.jit.load(file).state_dict() and give that"
        )
    if "data.pkl" in inner:
        return ""
    if all(name.endswith(".npy") for name in names):
        return "it is an archive of numpy arrays; give weights that torch has saved"
    if any(name.startswith(("data/weights", "models/")) for name in inner):
        return "it is an exported program of torch.export; give the state_dict of the network that it was made from"
    return "it is a zip archive, but none of torch.save; unpack it first"


def _is_safetensors(start: bytes) -> bool:
    return len(start) > 9 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < MOST_HEADER


def _of_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    part = _PART.search(path.name)
    if part and int(part[1]) > 1:
        raise UserError(
            f"weights file {str(path)!r} is one of {int(part[1])} parts: give their index, a file *{INDEX} beside it"
        )
    return _loaded(path, load_file)


def _loaded(path: Path, load: Callable[[Path], dict[str, Tensor]]) -> dict[str, Tensor]:
    try:
        return load(path)
    except Exception as error:  # a header may name types that torch lacks, or shapes beyond any memory
        reason = printable(f"{type(error).__name__}: {error}")[:200]
        raise UserError(f"weights file {str(path)!r} is not a sound safetensors file ({reason})") from error


def _of_torch(path: Path) -> Any:
    """What ``torch.save`` has written: containers of tensors, numbers and texts."""
    try:
        # Opened here: torch takes the name of a file for its kind.
        with torch.serialization.safe_globals(_numpy_scalars()), path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or foreign file can fail anywhere in the unpickler
        raise UserError(
            f"weights file {str(path)!r} could not be read: it must hold tensors alone, as written by "
            f"torch.save(network.state_dict(), file) or in a .safetensors file{_reason(str(error))}"
        ) from error


def _reason(message: str) -> str:
    """What stood in the way of reading a pickle, as far as torch tells."""
    found = re.search(r"Unsupported (?:global|class|operand)[^\n]*?(?:GLOBAL )?([\w.]+\.[\w.]+)", message)
    if not found:
        return ""
    name = printable(found[1])[:100]
    if name.startswith("numpy"):
        return f", but holds numpy's {name}; convert its arrays by torch.from_numpy"
    return (
        f", but is pickled with objects of {name}, perhaps a whole network; where you trust it, save its state_dict()"
    )


def _numpy_scalars() -> list:
    """What a number of numpy (an accuracy that was saved beside the weights, say) is pickled by: no code runs."""
    from numpy.dtypes import BoolDType, Float16DType, Float32DType, Float64DType, Int32DType, Int64DType

    scalar: Any = type(np.float64(0.0)).__reduce__(np.float64(0.0))[0]
    kinds = [BoolDType, Float16DType, Float32DType, Float64DType, Int32DType, Int64DType]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    return [*((scalar, name) for name in names), np.dtype, *kinds]


def _state_dict_in(content: object, path: Path) -> dict[str, Tensor]:
    if isinstance(content, nn.Module) or not isinstance(content, Mapping):
        raise UserError(f"weights file {str(path)!r} holds a {type(content).__name__}: it must hold a state_dict")
    for entries, are_averaged in ((ENTRIES, False), (AVERAGED, True)):
        if state := _within(content, entries):
            averaged = [name for name in AVERAGED if name in content]
            if are_averaged:
                log.info("weights: %s holds averaged ones alone, and they are taken", path.name)
            elif averaged:
                log.info("weights: those averaged over training (%s) in %s are not taken", averaged[0], path.name)
            return state
    found = printable(", ".join(f"{name!s:.40}" for name in list(content)[:8])) or "nothing"
    raise UserError(
        f"weights file {str(path)!r} holds no state_dict, as it is or in {', '.join(ENTRIES)}; it has {found}"
    )


def _within(content: Mapping, entries: tuple[str, ...], depth: int = 3) -> dict[str, Tensor] | None:
    """The tensors of ``content``, or of what it holds under one of ``entries``."""
    tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    others = [value for value in content.values() if not isinstance(value, Tensor)]
    if tensors and not any(isinstance(value, Mapping | list | tuple) for value in others):
        return tensors
    for name in entries if depth else ():
        inner = content.get(name)
        if isinstance(inner, Mapping) and (state := _within(inner, ENTRIES, depth - 1)):
            return state
    return tensors if tensors and not entries else None


def _plain(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The same, once every entry is a name and a dense tensor that the file holds in full."""
    for name, value in state.items():
        if not isinstance(name, str) or not name.isprintable() or len(name) > MOST_LETTERS:
            reason = f"names must be short printable texts, but one is {printable(repr(name))[:60]}"
        elif type(value) not in (Tensor, nn.Parameter) or value.is_quantized or value.is_nested:
            reason = f"{name} is a {'quantised' if value.is_quantized else type(value).__name__} tensor"
        elif value.layout != torch.strided:
            reason = f"{name} is sparse ({value.layout})"
        elif value.is_meta or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            reason = f"{name} says {'x'.join(map(str, value.shape))}, but has no such numbers"
        else:
            continue
        raise UserError(f"weights file {str(path)!r} must hold plain dense tensors: {reason}; save them so")
    return state


def _sharded(path: Path) -> dict[str, Tensor]:
    """The state_dict that lies in several files, which an index names."""
    from safetensors.torch import load_file

    try:
        files: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        parts = sorted({*files.values()})
        if not parts or any(Path(part).name != part for part in parts):
            raise ValueError("it must name files beside it")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = printable(str(error))[:100]
        raise UserError(f"weights file {str(path)!r} is no index of parts ({reason}): give one") from error
    state: dict[str, Tensor] = {}
    for part in parts:
        file = path.parent / part
        if not file.is_file():
            raise UserError(f"weights file {str(path)!r} names {part!r}, which is not beside it: get that, too")
        if kind := _foreign_kind(file, file.open("rb").read(512)):
            raise _unreadable(file, kind)
        is_safe = file.suffix == ".safetensors"
        state |= _plain(_loaded(file, load_file) if is_safe else _state_dict_in(_of_torch(file), file), file)
    if missing := [name for name in files if name not in state]:
        raise UserError(
            f"weights file {str(path)!r} names {printable(missing[0])[:60]}, which no part holds: get it anew"
        )
    return state
