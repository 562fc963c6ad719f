"""The section of the tensors that are not coded, buffers above all, as safetensors writes them."""

from collections.abc import Mapping

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from wfn.errors import UserError

_MOST_DESCRIBED = 1 << 21  # bytes: reading a description of names and shapes takes 20 times its room


def pack_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Write them, in memory of their own.

    Raises:
        UserError: some are no plain tensors, or their names and shapes take too much room to be read again.
    """
    try:
        plain = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
        own = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in plain.items()}
        content = safetensors.torch.save(own)
    except (SafetensorError, AttributeError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"the state_dict must hold plain tensors alone ({error})") from error
    if (described := _described(content)) > _MOST_DESCRIBED:
        raise UserError(
            f"the names and shapes of {len(tensors):,} tensors that are no counted weights take {described:,} bytes, "
            f"and {_MOST_DESCRIBED:,} is the most: join some of these tensors"
        )
    return content


def unpack_tensors(content: bytes) -> dict[str, Tensor]:
    """Read what :func:`pack_tensors` wrote.

    Raises:
        ValueError: it is not what :func:`pack_tensors` writes.
    """
    if (described := _described(content)) > _MOST_DESCRIBED:
        raise ValueError(f"the description of its other tensors takes {described:,} bytes, {_MOST_DESCRIBED:,} at most")
    try:
        return safetensors.torch.load(content)
    except (KeyError, RuntimeError, TypeError) as error:  # kinds of number that torch or safetensors does not know
        raise ValueError(f"its other tensors are not sound ({error})") from error


def _described(content: bytes) -> int:
    return int.from_bytes(content[:8], "little")  # how safetensors begins
