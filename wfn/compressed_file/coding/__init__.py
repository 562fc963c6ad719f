"""Which value each weight has, entropy-coded under the best of several models.

What is coded are symbols: positions in the codebook, whose counts are known to the reader. A model says how likely each
symbol is next; an asymmetric numeral system then spends -log2 of that. The models:

- ``static``: the frequencies in the whole network, for every weight alike;
- ``tensor``: those of what is still to come in the whole network, mixed with those of the tensor so far;
- ``left``: and with those in the tensor so far behind a like left neighbour in the kernel's row;
- ``left, above``: and with those behind a like left neighbour and a like one in the row before.

The last three adapt to what has been coded (:mod:`wfn.compressed_file.coding.adaptive`), and need no tables.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from wfn.compressed_file.coding import adaptive, static
from wfn.compressed_file.coding.extent import Extent

STATIC = "static"
NEIGHBOURS = {"tensor": 0, "left": 1, "left, above": 2}
MODELS = (STATIC, *NEIGHBOURS)


class Decoder(Protocol):
    """Gives symbols back in the order in which they were coded."""

    def take(self, extent: Extent) -> np.ndarray:
        """The symbols of the next tensor, int32 [size], in memory of their own.

        Raises:
            ValueError: they are not what the codebook counts.
        """

    def end(self) -> None:
        """Raise ValueError where anything is left, or the symbols were not what the codebook counts."""


def encode(symbols: np.ndarray, counts: Sequence[int], extents: Sequence[Extent]) -> tuple[str, bytes]:
    """Code ``symbols`` under the model that takes the fewest bytes; of equal ones the first of :data:`MODELS`.

    Args:
        symbols: int32 [N], below V; positions in the codebook.
        counts: V of them, how often each occurs.
        extents: of the tensors that ``symbols`` consist of, in turn.

    Returns:
        The model's name and the coded symbols, 32-bit words, little-endian.
    """
    coded = {STATIC: static.encode(symbols, counts)}
    for name, neighbours in NEIGHBOURS.items():
        if adaptive.applies(counts, neighbours):
            coded[name] = adaptive.encode(symbols, counts, extents, neighbours)
    name = min(coded, key=lambda model: len(coded[model]))
    return name, coded[name]


def decoder(model: str, coded: bytes, counts: Sequence[int]) -> Decoder:
    """What undoes :func:`encode`.

    Raises:
        ValueError: ``coded`` cannot be what it gave.
    """
    if len(coded) % 4:
        raise ValueError(f"its coded weights are {len(coded)} bytes, which are not words of 32 bits")
    words = np.frombuffer(coded, "<u4").astype(np.uint32)
    if len(words) and not words[-1]:
        raise ValueError("its coded weights end in a zero, as no code does")
    if model == STATIC:
        return static.StaticDecoder(words, counts)
    if not adaptive.applies(counts, NEIGHBOURS[model]):
        raise ValueError(f"its weights are coded by the model {model!r}, which does not serve {len(counts):,} values")
    return adaptive.AdaptiveDecoder(words, counts, NEIGHBOURS[model])


def decode(model: str, coded: bytes, counts: Sequence[int], extents: Iterable[Extent]) -> np.ndarray:
    """All symbols at once, int32 [N].

    Raises:
        ValueError: ``coded`` is not what :func:`encode` gave for them.
    """
    taking = decoder(model, coded, counts)
    parts = [np.zeros(0, np.int32), *(taking.take(extent) for extent in extents)]
    taking.end()
    return np.concatenate(parts)
