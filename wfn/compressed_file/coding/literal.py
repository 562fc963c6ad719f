"""The models of :mod:`wfn.compressed_file.coding.adaptive` as their definition reads, coded by constriction.

Slow: every symbol takes all counts of every level into the hand. What it gives and takes are the same words. The
format's numbers stand here once more, so that none of them changes in both unseen.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import constriction
import numpy as np

from wfn.compressed_file.coding.extent import Extent

PRECISION, SCALE, CLASSES = 24, 38, 12
ESCAPE = {1: (4, 2), 2: (16, 8), 3: (16, 8)}  # of each level: constant, and for each distinct symbol


def encode(symbols: Sequence[int], counts: Sequence[int], extents: Sequence[Extent], neighbours: int) -> bytes:
    """As :func:`wfn.compressed_file.coding.adaptive.encode`."""
    model = _Model(counts, neighbours)
    lengths = []
    for position, contexts in zip(range(len(symbols)), model.walk(extents, symbols), strict=True):
        lengths.append(model.lengths(contexts))
        model.learn(symbols[position], contexts)
    coder = constriction.stream.stack.AnsCoder()
    for symbol, slots in zip(reversed(symbols), reversed(lengths), strict=True):
        coder.encode_reverse(symbol, _categorical(slots))
    return coder.get_compressed().astype("<u4").tobytes()


def decode(coded: bytes, counts: Sequence[int], extents: Sequence[Extent], neighbours: int) -> list[int]:
    """Undo :func:`encode`; only what it gave is taken."""
    model = _Model(counts, neighbours)
    coder = constriction.stream.stack.AnsCoder(np.frombuffer(coded, "<u4").astype(np.uint32))
    symbols: list[int] = []
    for contexts in model.walk(extents, symbols):
        symbols.append(int(coder.decode(_categorical(model.lengths(contexts)))))
        model.learn(symbols[-1], contexts)
    assert coder.is_empty()
    return symbols


def _categorical(slots: list[int]) -> object:
    """A model of just these intervals: constriction hands each symbol one slot, and the rest as it is told."""
    return constriction.stream.model.Categorical(np.array(slots, np.float64) - 1, perfect=False)


class _Model:
    """What every level has seen."""

    def __init__(self, counts: Sequence[int], neighbours: int) -> None:
        self._values, self._neighbours = len(counts), neighbours
        self._to_come = Counter(dict(enumerate(counts)))
        self._seen: dict[tuple, Counter[int]] = {}
        total = sum(counts)
        middles = [2 * sum(counts[:symbol]) + count for symbol, count in enumerate(counts)]
        self._class = [min(CLASSES * middle // (2 * total), CLASSES - 1) if total else 0 for middle in middles]

    def walk(self, extents: Sequence[Extent], symbols: Sequence[int]) -> Iterator[list[tuple]]:
        """The contexts of each weight from level 1 on; ``symbols`` are those before it at least."""
        start = 0
        for tensor, extent in enumerate(extents):
            for i in range(extent.size):
                here = start + i
                left = self._class[symbols[here - 1]] if i % extent.width else None
                above = self._class[symbols[here - extent.width]] if i >= extent.width else None
                yield [(tensor,), (tensor, left), (tensor, left, above)][: self._neighbours + 1]
            start += extent.size

    def lengths(self, contexts: list[tuple]) -> list[int]:
        """How many slots each symbol has, and the one more that never occurs."""
        rest = 2**PRECISION - (self._values + 1)
        factors: list[tuple[int, Counter[int]]] = []
        for level in range(len(contexts), 0, -1):
            seen = self._seen.setdefault(contexts[level - 1], Counter())
            if n := seen.total():
                constant, of_each = ESCAPE[level]
                share = rest * n // (n + constant + of_each * len(seen))
                factors.append((share * 2**SCALE // n, seen))
                rest -= share
        factors.append((rest * 2**SCALE // self._to_come.total(), self._to_come))
        cumulated = [0] * len(factors)
        lows = []
        for symbol in range(self._values + 1):
            lows.append(symbol + sum(f * below for (f, _), below in zip(factors, cumulated, strict=True)) // 2**SCALE)
            cumulated = [below + seen[symbol] for (_, seen), below in zip(factors, cumulated, strict=True)]
        return np.diff([*lows, 2**PRECISION]).tolist()

    def learn(self, symbol: int, contexts: list[tuple]) -> None:
        """Count a symbol at every level."""
        self._to_come[symbol] -= 1
        for context in contexts:
            self._seen[context][symbol] += 1
