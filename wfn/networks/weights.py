"""Trained weights into a network: from a file, or torchvision's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from wfn import networks
from wfn.errors import UserError

# Where files in the wild keep the state_dict, when it is not the file itself.
_ENTRIES = ("state_dict", "model", "net", "model_state_dict", "model_state", "network", "weights")


def load_weights(model: nn.Module, source: str, network: str) -> None:
    """Load trained weights into ``model``, in place; nothing is changed where they do not fit.

    Args:
        model: the network that takes them.
        source: a file (``.safetensors``, or anything ``torch.save`` wrote: a ``state_dict`` or a dict that holds one,
            with or without ``module.`` prefixes), or ``"torchvision"`` for the ImageNet weights (IMAGENET1K_V1).
        network: the network's name, for the messages and to find torchvision's weights.

    Raises:
        UserError: no such file, or not one of weights alone; keys or shapes that do not fit; NaN or infinity;
            torchvision has no such weights, or they could not be downloaded.
    """
    state = _torchvision_state(network) if source == "torchvision" else _file_state(Path(source).expanduser())
    expected = model.state_dict()
    prefix = "module."  # what nn.DataParallel puts before every name
    if all(key.startswith(prefix) for key in state) and not any(key.startswith(prefix) for key in expected):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    if network == "googlenet":  # its auxiliary heads serve training from nothing alone, and are never built here
        state = {key: value for key, value in state.items() if not key.startswith(("aux1.", "aux2."))}
    misfit = _Misfit.between(expected, state)
    if misfit:
        fitting = _networks_that_fit(state)
        advice = f"; these weights fit {' or '.join(fitting)}" if fitting else ""
        raise UserError(f"weights {source!r} do not fit network {network!r}: {misfit}{advice}")
    for name, value in state.items():
        if not torch.isfinite(value).all():
            raise UserError(f"weights {source!r} hold NaN or infinity in {name}: they must be finite; use a sound save")
    model.load_state_dict(state, strict=False)  # strict but for num_batches_tracked: the keys were compared above


@dataclass(frozen=True)
class _Misfit:
    """How a state_dict differs from the one expected; true where it does."""

    missing: list[str]
    left_over: list[str]
    reshaped: list[str]

    @classmethod
    def between(cls, expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> "_Misfit":
        missing = [key for key in expected if key not in given and not key.endswith("num_batches_tracked")]
        left_over = [key for key in given if key not in expected]
        reshaped = [
            f"{key} is {_shape(given[key])} and should be {_shape(value)}"
            for key, value in expected.items()
            if key in given and given[key].shape != value.shape
        ]
        return cls(missing, left_over, reshaped)

    def __bool__(self) -> bool:
        return bool(self.missing or self.left_over or self.reshaped)

    def __str__(self) -> str:
        kinds = {"missing": self.missing, "left over": self.left_over, "of another shape": self.reshaped}
        return "; ".join(
            f"{len(keys)} {kind} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
            for kind, keys in kinds.items()
            if keys
        )


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"


def _networks_that_fit(state: Mapping[str, Tensor]) -> list[str]:
    """Return the registered networks that ``state`` fits, at the classes and channels that it was made for."""
    stem = state.get("conv1.weight", state.get("conv1.conv.weight"))
    head = state.get("fc.bias")
    if stem is None or stem.ndim != 4 or head is None or head.ndim != 1:
        return []
    shape = (stem.shape[1], 32, 32)
    fitting = []
    for name in networks.names():
        if name in networks.TORCHVISION and shape[0] != 3:
            continue
        with torch.device("meta"):  # shapes without memory, and nothing drawn from the generator
            candidate = networks.build(name, len(head), shape).state_dict()
        if not _Misfit.between(candidate, state):
            fitting.append(f"{name} ({len(head)} classes)")
    return fitting


def _file_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"weights file {str(path)!r} does not exist: give a file, or 'torchvision'")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise UserError(f"weights file {str(path)!r} is not a sound safetensors file: {error}") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or foreign file can fail anywhere in the unpickler
        raise UserError(
            f"weights file {str(path)!r} could not be read: it must hold tensors alone, as written by "
            "torch.save(network.state_dict(), file) or in a .safetensors file"
        ) from error
    return _state_dict_in(content, path)


def _state_dict_in(content: object, path: Path) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        raise UserError(f"weights file {str(path)!r} holds a {type(content).__name__}: it must hold a state_dict")
    for candidate in (content, *(content.get(entry) for entry in _ENTRIES)):
        if isinstance(candidate, Mapping) and candidate and all(isinstance(v, Tensor) for v in candidate.values()):
            return dict(candidate)
    found = ", ".join(map(str, list(content)[:8])) or "nothing"
    raise UserError(
        f"weights file {str(path)!r} holds no state_dict, as it is or in {', '.join(_ENTRIES)}; it has {found}"
    )


def _torchvision_state(network: str) -> dict[str, Tensor]:
    if network not in networks.TORCHVISION:
        raise UserError(
            f"torchvision has no weights for network {network!r}, only for {', '.join(networks.TORCHVISION)}"
        )
    import torchvision

    weights = torchvision.models.get_model_weights(network)["IMAGENET1K_V1"]
    try:
        return weights.get_state_dict(check_hash=True, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError) as error:  # no connection, no room; or a broken download's wrong hash
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise UserError(f"{weights.url} could not be downloaded ({error}): put that file into {folder}") from error
