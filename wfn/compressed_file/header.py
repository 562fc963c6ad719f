"""The header section: which names the coded weights go by, and what the file is about; JSON, deflated."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from wfn.compressed_file.coding import MODELS, STATIC
from wfn.compressed_file.coding.extent import Extent
from wfn.compressed_file.container import deflate, inflate
from wfn.errors import UserError

_MOST_BYTES = 1 << 20
_MOST_DIMENSIONS = 64
_MOST_ELEMENTS = 1 << 40


@dataclass(frozen=True)
class Header:
    """What is said of a file.

    Attributes:
        shapes: name of a counted weight -> its shape, in the order in which they are coded.
        shared: further name -> the counted weight that is the same tensor.
        about: anything, for people.
        coding: the model that the weights are coded by, one of :data:`wfn.compressed_file.coding.MODELS`.
    """

    shapes: Mapping[str, tuple[int, ...]]
    shared: Mapping[str, str] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)
    coding: str = STATIC

    @property
    def weights(self) -> int:
        """How many weights are coded."""
        return sum(map(prod, self.shapes.values()))

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors that are made of them, as float32."""
        return 4 * (self.weights + sum(prod(self.shapes[name]) for name in self.shared.values()))

    @property
    def extents(self) -> list[Extent]:
        """Of the counted weights, in the order in which they are coded."""
        return [Extent.of(shape) for shape in self.shapes.values()]

    def unfolded(self, others: int) -> int:
        """Bytes that reading takes, where the other tensors are ``others`` bytes, which for a while are there twice."""
        return self.tensor_bytes + 2 * others


def pack_header(header: Header) -> bytes:
    """Write a header.

    Raises:
        UserError: it would not be read again: it is too long, or holds halves of surrogate pairs.
    """
    content = [list(header.shapes.items()), list(header.shared.items()), dict(header.about), header.coding]
    try:
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"the network's names and descriptions must be text that can be written ({error})") from error
    if len(text) > _MOST_BYTES:
        raise UserError(f"the network's names and descriptions take {len(text):,} bytes; {_MOST_BYTES:,} is the most")
    return deflate(text)


def unpack_header(section: bytes) -> Header:
    """Read what :func:`pack_header` wrote; earlier versions named no model.

    Raises:
        ValueError: it is not what :func:`pack_header` writes.
    """
    text = inflate("header", section, _MOST_BYTES)
    try:
        content = json.loads(text)
        shapes, shared, about, coding = (*content, STATIC) if len(content) == 3 else content
        named_shapes = [(name, tuple(shape)) for name, shape in shapes]
        header = Header(dict(named_shapes), {name: owner for name, owner in shared}, dict(about.items()), coding)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("its header is not made as it should be") from error
    _check(header, names=len(shapes) + len(shared))
    return header


def _check(header: Header, names: int) -> None:
    if header.coding not in MODELS:
        raise ValueError(f"its weights are coded by {str(header.coding)[:80]!r}, which this program does not know")
    texts = [*header.shapes, *header.shared, *header.shared.values(), *header.about.values()]
    if not all(map(_is_text, texts)):
        raise ValueError("its header has something else where a text should be")
    if len(header.shapes.keys() | header.shared.keys()) != names:
        raise ValueError("its header has a name twice")
    for name, shape in header.shapes.items():
        sizes_fit = all(type(size) is int and size >= 0 for size in shape) and len(shape) <= _MOST_DIMENSIONS
        if not sizes_fit or prod(max(size, 1) for size in shape) > _MOST_ELEMENTS:
            raise ValueError(f"its header gives {name[:80]!r} an impossible shape")
    if unknown := [owner for owner in header.shared.values() if owner not in header.shapes]:
        raise ValueError(f"its header shares {unknown[0][:80]!r}, which is not there")


def _is_text(value: object) -> bool:
    """A string that can be written and printed: JSON lets halves of surrogate pairs in."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)
