"""Models that learn from what has been coded, in integers alone, so that every machine has the same to the bit.

Symbol ``s`` of V has the interval from ``low(s)`` to ``low(s + 1)`` of the 2^24 slots of an asymmetric numeral system:

    low(s) = s + floor(sum_l scale_l below_l(s) / 2^38),

where ``below_l(s)`` counts the symbols under ``s`` that level ``l`` has seen. Symbol V never occurs and takes what is
left of the slots. One slot apart, which every symbol has, this is a mixture of the levels' frequencies:

- level 0: what is still to come in the whole network;
- level 1: the tensor so far;
- level 2: of that, what follows on a left neighbour of the same class;
- level 3: and stands under a neighbour, in the row before, of the same class.

The finest level takes the share ``n / (n + escape)`` of the mixture, where n counts what it has seen, the next one that
share of the rest, and so on; level 0 takes what remains. The escape grows with the number of distinct symbols that the
level has seen, as in coders of text. A class holds about a twelfth of the network's weights, between two values; "no
neighbour" is one more.

Cumulated counts are kept in binary indexed trees, one for each context, so that a symbol takes O(log V).

Sources: Cleary & Witten, Data Compression Using Adaptive Coding and Partial String Matching, IEEE Transactions on
Communications, 1984, for contexts that fall back on shorter ones; Fenwick, A New Data Structure for Cumulative
Frequency Tables, Software: Practice and Experience, 1994; Duda et al. as in :mod:`wfn.compressed_file.coding.static`.

Differs: contexts are mixed, not left by an escape symbol; they are neighbours in a kernel.

The words are those that constriction's ANS coder gives for these intervals (:mod:`wfn.compressed_file.coding.literal`).
It is not used here because it takes a call and a new model for each symbol, hundreds of times as long.
"""

from collections.abc import Sequence

import numpy as np

from wfn.compressed_file.coding.extent import Extent
from wfn.system.compiled import compiled

PRECISION = 24  # of probabilities, bits
SCALE = 38  # of the factors that counts are multiplied by, bits
CLASSES = 12
ESCAPE = ((0, 0), (4, 2), (16, 8), (16, 8))  # of each level: constant, and for each distinct symbol
MOST_WEIGHTS = (1 << 31) - 1
MOST_VALUES_OF_CONTEXTS = 1 << 12  # above, tables grow and hardly a context is seen twice


def applies(counts: Sequence[int], neighbours: int) -> bool:
    """Whether symbols that occur ``counts`` times can be coded with so many neighbours."""
    return sum(counts) <= MOST_WEIGHTS and (not neighbours or len(counts) <= MOST_VALUES_OF_CONTEXTS)


def classes(counts: Sequence[int]) -> np.ndarray:
    """The class of each symbol, int32 [V], by where the middle of its weights lies among all, sorted."""
    each = np.array(counts, np.int64)
    middles = 2 * np.cumsum(each) - each
    return np.minimum(CLASSES * middles // max(2 * sum(counts), 1), CLASSES - 1).astype(np.int32)


def encode(symbols: np.ndarray, counts: Sequence[int], extents: Sequence[Extent], neighbours: int) -> bytes:
    """Code ``symbols`` (int32 [N], below V) that occur ``counts`` times; see :mod:`wfn.compressed_file.coding`."""
    tables, intervals, start = _tables(counts, neighbours), np.empty((len(symbols), 2), np.uint32), 0
    for number, extent in enumerate(extents):
        end = start + extent.size
        _find_intervals(symbols[start:end], extent.width, number, neighbours, *tables, intervals[start:end])
        start = end
    return _encode(intervals).astype("<u4").tobytes()


class AdaptiveDecoder:
    """Undoes :func:`encode`.

    Args:
        words: uint32, what it gave; the last one is not 0.
        counts: V of them, how often each symbol occurs.
        neighbours: how many it was coded with.
    """

    def __init__(self, words: np.ndarray, counts: Sequence[int], neighbours: int) -> None:
        self._words, self._neighbours, self._tables = words, neighbours, _tables(counts, neighbours)
        self._tensors, self._coder = 0, np.array([0, len(words)], np.uint64)  # state, and how many words are left

    def take(self, extent: Extent) -> np.ndarray:
        """The next symbols, int32 [size].

        Raises:
            ValueError: a symbol comes more often than it is counted.
        """
        symbols = np.empty(extent.size, np.int32)
        arguments = symbols, extent.width, self._tensors, self._neighbours
        if not _decode(*arguments, *self._tables, self._words, self._coder):
            raise ValueError("its coded weights do not decode to what its codebook counts")
        self._tensors += 1
        return symbols

    def end(self) -> None:
        """Raise ValueError where anything is left."""
        if self._coder.any() or self._tables[0][0].any():
            raise ValueError("its coded weights go on behind the last one")


def _tables(counts: Sequence[int], neighbours: int) -> tuple[np.ndarray, ...]:
    """What is counted: a row of each for level 0, one for level 1, then for the contexts of levels 2 and 3.

    Returns:
        Trees of counts, int32 [rows, V + 1]; how much each has counted and how many distinct symbols, int64 [rows]; for
        which tensor, int64 [rows]; and the symbols' classes.
    """
    kinds = CLASSES + 1
    rows = 2 + (kinds if neighbours else 0) + (kinds * kinds if neighbours == 2 else 0)
    trees = np.zeros((rows, len(counts) + 1), np.int32)
    seen = np.zeros(rows, np.int64)
    _plant(trees, np.array(counts, np.int64))
    seen[0] = sum(counts)
    return trees, seen, np.zeros(rows, np.int64), np.full(rows, -1, np.int64), classes(counts)


@compiled()
def _plant(trees, counts):
    """Fill the first tree with ``counts``."""
    for symbol in range(counts.size):
        _add(trees, 0, symbol, counts[symbol])


@compiled()
def _add(trees, row, symbol, amount):
    """Count ``amount`` more of a symbol."""
    node = symbol + 1
    while node < trees.shape[1]:
        trees[row, node] += amount
        node += node & -node


@compiled()
def _below(trees, row, symbol):
    """How many of the symbols under this one."""
    total, node = 0, symbol
    while node > 0:
        total += trees[row, node]
        node -= node & -node
    return total


@compiled()
def _count(trees, row, symbol):
    """How many of this symbol."""
    node = symbol + 1
    total, common = trees[row, node], node - (node & -node)
    node -= 1
    while node != common:
        total -= trees[row, node]
        node -= node & -node
    return total


@compiled()
def _choose(symbols, position, width, tensor, neighbours, trees, seen, distinct, owner, kinds, rows, scales):
    """Find the row of each level, empty where a tensor is the first to use it, and the factor of its counts."""
    rows[0], rows[1] = 0, 1
    if neighbours:
        left = kinds[symbols[position - 1]] if position % width else CLASSES
        rows[2] = 2 + left
        if neighbours == 2:
            above = kinds[symbols[position - width]] if position >= width else CLASSES
            rows[3] = 3 + CLASSES + left * (CLASSES + 1) + above
    rest = (1 << PRECISION) - trees.shape[1]
    for level in range(neighbours + 1, 0, -1):
        row = rows[level]
        if owner[row] != tensor:
            trees[row, :] = 0
            seen[row], distinct[row], owner[row] = 0, 0, tensor
        scales[level] = 0
        if seen[row]:
            share = rest * seen[row] // (seen[row] + ESCAPE[level][0] + ESCAPE[level][1] * distinct[row])
            scales[level] = (share << SCALE) // seen[row]
            rest -= share
    scales[0] = (rest << SCALE) // seen[0]


@compiled()
def _learn(symbol, counts, neighbours, trees, seen, distinct, rows):
    """Count the symbol, of which each level has seen ``counts``."""
    _add(trees, 0, symbol, -1)
    seen[0] -= 1
    for level in range(1, neighbours + 2):
        row = rows[level]
        _add(trees, row, symbol, 1)
        seen[row] += 1
        distinct[row] += counts[level] == 0


@compiled()
def _find_intervals(symbols, width, tensor, neighbours, trees, seen, distinct, owner, kinds, intervals):
    """Of each symbol of a tensor: where its interval begins, and how long it is."""
    rows, scales, counts = np.zeros(4, np.int64), np.zeros(4, np.int64), np.zeros(4, np.int64)
    for position in range(symbols.size):
        symbol = symbols[position]
        _choose(symbols, position, width, tensor, neighbours, trees, seen, distinct, owner, kinds, rows, scales)
        low = high = 0
        for level in range(neighbours + 2):
            below, counts[level] = _below(trees, rows[level], symbol), _count(trees, rows[level], symbol)
            low += scales[level] * below
            high += scales[level] * (below + counts[level])
        low = symbol + (low >> SCALE)
        intervals[position, 0] = low
        intervals[position, 1] = symbol + 1 + (high >> SCALE) - low
        _learn(symbol, counts, neighbours, trees, seen, distinct, rows)


@compiled()
def _encode(intervals):
    """The words of the asymmetric numeral system: of 64 bits of state, 32 leave at a time; the last symbol first."""
    words, used = np.empty(len(intervals) + 2, np.uint32), 0
    state, word = np.uint64(0), np.uint64(32)
    precision, most = np.uint64(PRECISION), np.uint64(64 - PRECISION)
    for position in range(len(intervals) - 1, -1, -1):
        low, length = np.uint64(intervals[position, 0]), np.uint64(intervals[position, 1])
        if state >> most >= length:
            words[used] = np.uint32(state & np.uint64(0xFFFFFFFF))
            used += 1
            state >>= word
        quotient = state // length
        state = (quotient << precision) + low + (state - quotient * length)
    while state:
        words[used] = np.uint32(state & np.uint64(0xFFFFFFFF))
        used += 1
        state >>= word
    return words[:used].copy()


@compiled()
def _decode(symbols, width, tensor, neighbours, trees, seen, distinct, owner, kinds, words, coder):
    """Fill ``symbols`` with those of a tensor; return whether they are ones that were still to come."""
    rows, scales, counts = np.zeros(4, np.int64), np.zeros(4, np.int64), np.zeros(4, np.int64)
    below = np.zeros(4, np.int64)
    state, left = coder[0], np.int64(coder[1])
    if not tensor:
        state, left = _refilled(state, words, left)
        state, left = _refilled(state, words, left)
    for position in range(symbols.size):
        if not seen[0]:
            return False
        _choose(symbols, position, width, tensor, neighbours, trees, seen, distinct, owner, kinds, rows, scales)
        slot = np.int64(state & np.uint64((1 << PRECISION) - 1))
        symbol = _find(slot, neighbours, trees, rows, scales, below)
        if symbol == trees.shape[1] - 1:
            return False
        low = high = 0
        for level in range(neighbours + 2):
            counts[level] = _count(trees, rows[level], symbol)
            low += scales[level] * below[level]
            high += scales[level] * (below[level] + counts[level])
        if counts[0] <= 0:
            return False
        symbols[position] = symbol
        low = symbol + (low >> SCALE)
        length = np.uint64(symbol + 1 + (high >> SCALE) - low)
        state = (state >> np.uint64(PRECISION)) * length + np.uint64(slot - low)
        if not state >> np.uint64(32):
            state, left = _refilled(state, words, left)
        _learn(symbol, counts, neighbours, trees, seen, distinct, rows)
    coder[0], coder[1] = state, np.uint64(left)
    return True


@compiled()
def _find(slot, neighbours, trees, rows, scales, below):
    """The symbol whose interval has this slot, all trees walked down at once; fill ``below`` with its counts."""
    symbol, step = 0, 1
    while 2 * step < trees.shape[1]:
        step *= 2
    below[:] = 0
    while step:
        following = symbol + step
        if following < trees.shape[1]:
            low = 0
            for level in range(neighbours + 2):
                low += scales[level] * (below[level] + trees[rows[level], following])
            if following + (low >> SCALE) <= slot:
                symbol = following
                for level in range(neighbours + 2):
                    below[level] += trees[rows[level], following]
        step >>= 1
    return symbol


@compiled()
def _refilled(state, words, left):
    """The state with the next word, the last that was written, and how many are left then."""
    if left:
        return (state << np.uint64(32)) | np.uint64(words[left - 1]), left - 1
    return state, left
