"""Huffman's optimal prefix code: its total length, and the length of each code word.

Source: D. A. Huffman, A Method for the Construction of Minimum-Redundancy Codes, 1952. One symbol alone takes 1 bit.
"""

import heapq
from collections import Counter
from collections.abc import Mapping

import numpy as np

from wfn.measures.common.kinds import Block, Quantity, Values, WeightMeasure
from wfn.networks.forward_pass import ForwardPass


class HuffmanLength(WeightMeasure):
    """Total length of the weights under the optimal prefix code for them, without its table."""

    quantities = (Quantity("huffman_bits", "length under a Huffman code (bits)", "{:,}", summary=False),)

    def __init__(self, forward_pass: ForwardPass) -> None:
        super().__init__(forward_pass)
        self._frequencies: Counter[int | float] = Counter()

    def update(self, block: Block) -> None:
        """Take a block of distinct values."""
        self._frequencies.update(block.frequencies)

    def compute(self, weights: Mapping[str, np.ndarray]) -> Values:
        """The length, a whole number of bits."""
        return {"huffman_bits": huffman_bits(self._frequencies)}


def huffman_bits(frequencies: Mapping[int | float, int]) -> int | float:
    """Total length in bits of a message coded by the optimal code for it: sum_v count_v length_v, exact.

    Merging two nodes adds their sum to the total, and equal nodes are merged a whole run at a time.

    Args:
        frequencies: count -> how many symbols of the message have it, from
            :func:`wfn.measures.common.distinct.frequencies`.
    """
    if sum(frequencies.values()) == 1:
        return next(iter(frequencies))
    runs = sorted(frequencies.items())  # and so a heap
    total = 0
    while runs:
        node, copies = heapq.heappop(runs)
        while runs and runs[0][0] == node:
            copies += heapq.heappop(runs)[1]
        if copies > 1:
            total += 2 * node * (copies // 2)
            heapq.heappush(runs, (2 * node, copies // 2))
        if copies % 2 and runs:
            partner, others = heapq.heappop(runs)
            if others > 1:
                heapq.heappush(runs, (partner, others - 1))
            total += node + partner
            heapq.heappush(runs, (node + partner, 1))
    return total


def huffman_lengths(counts: np.ndarray) -> np.ndarray:
    """Length in bits of each symbol's code word in one optimal code: int64 [V].

    Two queues, both ascending without ever being sorted again: the leaves, and the inner nodes as they are made. A
    Python loop over the V symbols, meant for codebooks; :func:`huffman_bits` needs no lengths.

    Args:
        counts: [V], all positive, V >= 1.
    """
    order = np.argsort(counts, kind="stable")
    size = len(order)
    if size == 1:
        return np.ones(1, np.int64)
    node = counts[order].tolist()
    parent = [0] * (2 * size - 1)
    leaf, inner = 0, size
    for new in range(size, 2 * size - 1):
        node.append(0)
        for _ in range(2):
            if inner == new or (leaf < size and node[leaf] <= node[inner]):
                child, leaf = leaf, leaf + 1
            else:
                child, inner = inner, inner + 1
            node[new] += node[child]
            parent[child] = new
    depth = np.zeros(2 * size - 1, np.int64)
    for child in range(2 * size - 3, -1, -1):
        depth[child] = depth[parent[child]] + 1
    lengths = np.empty(size, np.int64)
    lengths[order] = depth[:size]
    return lengths
