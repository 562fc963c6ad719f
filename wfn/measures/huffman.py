"""Total length under Huffman's optimal prefix code.

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
