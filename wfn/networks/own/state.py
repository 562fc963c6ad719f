"""What of a network's ``state_dict`` a file of tensors can hold."""

import logging
from collections import OrderedDict
from collections.abc import Mapping

import safetensors.torch
import torch
from torch import Tensor, nn

from wfn.errors import UserError

log = logging.getLogger(__name__)


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of the ``state_dict``, copied to the CPU, contiguous; sparse ones as dense ones."""
    found = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    return {name: _plain(value.detach().cpu()) for name, value in found.items()}


def check_state(model: nn.Module) -> None:
    """Make sure, before any work is done, that what is left of ``model`` at the end can be written.

    Entries that are no tensors (``get_extra_state``, say) are left out, and named by a line.

    Raises:
        UserError: a tensor is of a kind that a file cannot hold.
    """
    state: Mapping[str, object] = model.state_dict()
    left_out = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if left_out:
        log.info(
            "network: %s of its state_dict are no tensors, so the files do not hold them; they load with strict=False",
            ", ".join(left_out),
        )
    for name, value in state.items():
        if not isinstance(value, Tensor):
            continue
        try:
            safetensors.torch.save({"x": torch.empty(0, dtype=value.dtype)})
        except (RuntimeError, ValueError, KeyError, TypeError) as error:
            kind = str(value.dtype).removeprefix("torch.")
            raise UserError(
                f"{name} of the network's state_dict cannot be written ({kind}, {type(error).__name__}): make it a "
                "plain tensor"
            ) from error


def load_state(model: nn.Module, state: Mapping[str, Tensor], strict: bool = True) -> None:
    """Load tensors that are named as ``model`` names its own.

    So they are of the version of the format that it writes now. A file of tensors does not say it, and some networks
    (torchvision's MNASNet) take none without.

    Raises:
        RuntimeError: they do not fit, as torch's own ``load_state_dict`` says it.
    """
    versioned = OrderedDict(state)
    versioned._metadata = getattr(model.state_dict(), "_metadata", {})  # ty: ignore[missing-attribute]
    model.load_state_dict(versioned, strict=strict)


def check_ties(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Raise :class:`ValueError` where ``state`` has two tensors for one of the network's, and they are not the same.

    torch loads one after the other, and the last one stays.
    """
    own, first = model.state_dict(), {}
    for name, values in state.items():
        tensor = own.get(name)
        if isinstance(tensor, Tensor) and tensor.layout == torch.strided and tensor.numel():
            other = first.setdefault((tensor.data_ptr(), tensor.shape, tensor.stride()), name)
            if not torch.equal(values, state[other]):
                raise ValueError(f"{other} and {name} are one tensor in the network, but not in the file")


def copy_buffer(buffer: Tensor, values: Tensor) -> None:
    """Give ``buffer``, of whatever layout, dense ``values`` of its shape."""
    buffer.copy_(values if buffer.layout == torch.strided else values.to(buffer.device).to_sparse(layout=buffer.layout))


def dense(tensor: Tensor) -> Tensor:
    """The tensor, as it is where it is dense."""
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def _plain(tensor: Tensor) -> Tensor:
    return dense(tensor).clone(memory_format=torch.contiguous_format)
