"""Parameters that share memory without being one parameter: each memory is counted once, and the tie is kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wfn.errors import UserError


@dataclass(frozen=True)
class Tie:
    """A parameter or buffer that lies in the memory of a parameter.

    Attributes:
        name: of the one that is tied.
        tensor: itself.
        owner: name of the parameter whose memory it is.
        offset: of its first element, among the owner's elements in the order of its dimensions.
        strides: from element to element along each dimension, among the same.
    """

    name: str
    tensor: Tensor
    owner: str
    offset: int
    strides: tuple[int, ...]

    def view(self, memory: Tensor) -> Tensor:
        """Its elements among the owner's, which ``memory``, [n], holds in the order of the owner's dimensions."""
        return memory.as_strided(self.tensor.shape, self.strides, memory.storage_offset() + self.offset)

    def place(self, memory: Tensor) -> None:
        """Let the tensor lie in ``memory``, as :meth:`view`."""
        self.tensor.data = self.view(memory)


def ties(model: nn.Module) -> tuple[Tie, ...]:
    """What shares memory with a parameter: transposed weights, views, slices of one tensor.

    Raises:
        UserError: memory is shared in a way in which no parameter holds all of it, or by elements of one parameter.
    """
    parameters = {name: p for name, p in model.named_parameters() if has_memory(p)}
    for name, parameter in parameters.items():
        if _is_repeated(parameter):
            raise UserError(
                f"elements of {name} share one memory (it was made by expand, say): give each its own, by .clone()"
            )
    named = parameters | {name: b for name, b in model.named_buffers() if has_memory(b)}
    found = []
    for group in _groups(named):
        owner = max((name for name in group if name in parameters), key=lambda name: named[name].numel(), default=None)
        if owner is not None:
            found += [_tie(name, named[name], owner, named[owner]) for name in group if name != owner]
    return tuple(found)


def part_neighbours(model: nn.Module) -> None:
    """Give parameters that lie between each other's elements, but share none, memory of their own.

    So every parameter is known by its addresses alone.
    """
    named = {name: p for name, p in model.named_parameters() if has_memory(p)}
    for one, other in _overlapping(named):
        if not _shares(named[one], named[other]):
            for name in (one, other):
                named[name].data = named[name].data.clone()


def _groups(named: Mapping[str, Tensor]) -> Iterator[list[str]]:
    """Names of tensors that share elements, directly or by others; in the order of ``named``."""
    first = {name: name for name in named}

    def root(name: str) -> str:
        while first[name] != name:
            name = first[name]
        return name

    order = {name: position for position, name in enumerate(named)}
    for one, other in _overlapping(named):
        if _shares(named[one], named[other]):
            earlier, later = sorted((root(one), root(other)), key=order.__getitem__)
            first[later] = earlier
    groups: dict[str, list[str]] = {}
    for name in named:
        groups.setdefault(root(name), []).append(name)
    return (group for group in groups.values() if len(group) > 1)


def _overlapping(named: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Pairs of tensors of which one begins before the other has ended."""
    stretches = sorted((*addresses(tensor), name) for name, tensor in named.items())
    for position, (_, end, name) in enumerate(stretches):
        for begin, _, other in stretches[position + 1 :]:
            if begin >= end:
                break
            yield name, other


def addresses(tensor: Tensor) -> tuple[int, int]:
    """First address of a tensor, and the one after its last element, whatever its strides."""
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (last + 1) * tensor.element_size()


def _shares(one: Tensor, other: Tensor) -> bool:
    if one.numel() == _extent(one) and other.numel() == _extent(other):
        return True  # without holes: what overlaps is shared
    return bool(torch.isin(_positions(one).flatten(), _positions(other).flatten()).any())


def _tie(name: str, tensor: Tensor, owner: str, holder: Tensor) -> Tie:
    reason = f"{name} and {owner} share memory"
    if tensor.dtype != holder.dtype:
        raise UserError(f"{reason}, but are {tensor.dtype} and {holder.dtype}: give each its own, by .clone()")
    ordered, order = _positions(holder).flatten().sort()
    own = _positions(tensor).contiguous()
    found = torch.searchsorted(ordered, own).clamp(max=len(ordered) - 1)
    if not torch.equal(ordered[found], own):
        raise UserError(f"{reason}, but neither holds all of it: let one be a part of the other, or clone one")
    index = order[found]  # among the holder's elements
    first = index.flatten()[0]
    strides = tuple(
        int(index.narrow(dim, 1, 1).flatten()[0] - first) if size > 1 else 1 for dim, size in enumerate(tensor.shape)
    )
    affine = torch.arange(holder.numel())
    if min(strides, default=1) < 0 or not torch.equal(affine.as_strided(tensor.shape, strides, int(first)), index):
        raise UserError(f"{reason} in an order that cannot be kept: clone one of them")
    return Tie(name, tensor, owner, int(first), strides)


def _positions(tensor: Tensor) -> Tensor:
    """Address of every element, int64 of the tensor's shape."""
    offsets = torch.arange(_extent(tensor)).as_strided(tensor.shape, tensor.stride(), 0)
    return offsets * tensor.element_size() + tensor.data_ptr()


def _extent(tensor: Tensor) -> int:
    """How many elements the stretch of memory holds in which the tensor lies."""
    begin, end = addresses(tensor)
    return (end - begin) // tensor.element_size()


def _is_repeated(tensor: Tensor) -> bool:
    if tensor.is_contiguous() or tensor.numel() == _extent(tensor):
        return tensor.numel() > _extent(tensor)
    return tensor.numel() > _extent(tensor) or bool(_positions(tensor).flatten().unique().numel() < tensor.numel())


def has_memory(tensor: Tensor) -> bool:
    """Whether the elements of a tensor have addresses."""
    return tensor.layout == torch.strided and tensor.numel() > 0 and not tensor.is_meta
