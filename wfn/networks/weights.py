"""Trained weights into a network: from a file, or torchvision's own."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from wfn import networks
from wfn.errors import UserError, some_of
from wfn.networks.own.state import check_ties, load_state
from wfn.networks.running_statistics import check_statistics
from wfn.networks.weight_files.save_reading import read_weights
from wfn.networks.weight_files.tensor_names import near_names, renamed

log = logging.getLogger(__name__)


def load_weights(model: nn.Module, source: str, network: str) -> None:
    """Load trained weights into ``model``, in place; nothing is changed where they do not fit.

    Args:
        model: the network that takes them.
        source: a file as :func:`wfn.networks.weight_files.save_reading.read_weights` takes it, or ``"torchvision"`` for
            the ImageNet weights (IMAGENET1K_V1). Its names may begin with one prefix more than the network's
            (``module.``, ``_orig_mod.``, ``model.``, ``backbone.``), or with one less.
        network: the network's name, for the messages and to find torchvision's weights.

    Raises:
        UserError: no such file, or not one of weights alone; keys, shapes or kinds of number that do not fit; NaN or
            infinity, also where float64 numbers are too large for float32; a variance below zero; two tensors for one
            that layers of the network share; torchvision has no such weights, or they could not be downloaded.
    """
    is_torchvisions = source == "torchvision"
    state = _torchvision_state(network) if is_torchvisions else read_weights(Path(source).expanduser())
    expected = model.state_dict()
    expected = {name: value for name, value in expected.items() if isinstance(value, Tensor)}
    state = renamed(state, expected, source)
    if network == "googlenet":  # its auxiliary heads serve training from nothing alone, and are never built here
        state = {key: value for key, value in state.items() if not key.startswith(("aux1.", "aux2."))}
    misfit = _Misfit.between(expected, state)
    if misfit:
        fitting = _networks_that_fit(state)
        advice = f"; these weights fit {' or '.join(fitting)}" if fitting else ""
        raise UserError(f"weights {source!r} do not fit network {network!r}: {misfit}{advice}")
    state = {name: _converted(value, expected[name].dtype, name, source) for name, value in state.items()}
    try:
        check_statistics(state)
        check_ties(model, state)
    except ValueError as error:
        raise UserError(f"weights {source!r} cannot be those of this network: {error}; use a sound save") from error
    load_state(model, state, strict=False)  # strict but for num_batches_tracked: the keys were compared above


def _converted(value: Tensor, dtype: torch.dtype, name: str, source: str) -> Tensor:
    """The tensor as the network has it: floats of another width, and integers of another, alone are converted."""

    given, wanted = (str(kind).removeprefix("torch.") for kind in (value.dtype, dtype))
    if value.dtype == torch.bool or value.is_complex() or value.is_floating_point() != dtype.is_floating_point:
        raise UserError(f"weights {source!r} hold {given} in {name}, but it must be {wanted}: use a float save")
    converted = value.to(dtype)
    if not torch.isfinite(converted).all():
        is_wide = value.dtype == torch.float64 and torch.isfinite(value).all()
        reason = f"numbers up to {value.abs().max():g}, too large for {wanted}," if is_wide else "NaN or infinity"
        raise UserError(f"weights {source!r} hold {reason} in {name}: they must be finite; use a sound save")
    if value.dtype == torch.float64 and not torch.equal(converted.double(), value):
        log.info("weights: %s is float64 and was rounded to float32", name)
    return converted


@dataclass(frozen=True)
class _Misfit:
    """How a state_dict differs from the one expected; true where it does."""

    missing: list[str]
    left_over: list[str]
    reshaped: list[str]
    near: Mapping[str, str]  # of those missing, what may be meant

    @classmethod
    def between(cls, expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> "_Misfit":
        missing = [key for key in expected if key not in given and not key.endswith("num_batches_tracked")]
        left_over = [key for key in given if key not in expected]
        reshaped = [
            f"{key} is {_shape(given[key])} and should be {_shape(value)}"
            for key, value in expected.items()
            if key in given and given[key].shape != value.shape
        ]
        shapes = {name: tuple(value.shape) for name, value in (*given.items(), *expected.items())}
        return cls(missing, left_over, reshaped, near_names(missing, left_over, shapes))

    def __bool__(self) -> bool:
        return bool(self.missing or self.left_over or self.reshaped)

    def __str__(self) -> str:
        kinds = {"missing": self.missing, "left over": self.left_over, "of another shape": self.reshaped}
        parts = [f"{len(keys)} {kind} ({some_of(keys, 3)})" for kind, keys in kinds.items() if keys]
        if self.near:
            pairs = ", ".join(f"{name} may be its {near}" for name, near in [*self.near.items()][:3])
            parts.append(f"{pairs}: rename them in the file")
        return "; ".join(parts)


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
