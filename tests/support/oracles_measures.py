"""The measures written out literally, to hold the fast ones against."""

import heapq
from collections import Counter
from collections.abc import Sequence
from math import comb, inf, log2

import numpy as np


def huffman_bits(counts: list[int]) -> int:
    """The textbook: merge the two rarest until one tree is left."""
    heap = list(counts)
    heapq.heapify(heap)
    if len(heap) == 1:
        return heap[0]
    total = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        total += merged
        heapq.heappush(heap, merged)
    return total


def shortest_prefix_code_bits(counts: list[int]) -> float:
    """The least total over every assignment of code lengths that Kraft's inequality allows."""
    longest = max(1, len(counts) - 1)

    def best(left: tuple[int, ...], room: int) -> float:
        if not left:
            return 0
        return min(
            (
                left[0] * length + best(left[1:], room - 2 ** (longest - length))
                for length in range(1, longest + 1)
                if 2 ** (longest - length) <= room
            ),
            default=inf,
        )

    return best(tuple(counts), 2**longest)


def use_counts_as_printed(layers: list[tuple[str, list[float], float]]) -> Counter:
    """The notebook's walk over ``(kind, values, uses)`` of every parameter."""
    counts = Counter()
    for kind, values, uses in layers:
        for value in values:
            if kind == "batch norm":
                counts[value] = 1
            else:
                counts[value] += uses if kind == "convolution" else 1
    return counts


def symbol_bits(symbols: Sequence) -> float:
    """Symbols at their entropy, and which of the splits of their number into counts it is."""
    counts = Counter(symbols).values()
    entropy = sum(count * log2(len(symbols) / count) for count in counts)
    return entropy + log2(comb(len(symbols) - 1, len(counts) - 1))


def bits_by_form(weight: np.ndarray) -> dict[str, float]:
    """What a tensor takes in every form that it can have."""

    def values(numbers: list[float]) -> float:
        return 32 * len(set(numbers)) + symbol_bits(numbers) if numbers else 0

    def vectors(width: int) -> float:
        symbols = [tuple(vector) for vector in weight.reshape(-1, width).tolist()]
        codebook = [number for symbol in set(symbols) for number in symbol]
        return min(32 * len(codebook), values(codebook)) + symbol_bits(symbols)

    bits = {"float32": 32 * weight.size, "values": values(weight.ravel().tolist())}
    if weight.size and weight.ndim > 1:
        bits["channels"] = sum(values(channel.ravel().tolist()) for channel in weight)
        bits["rows"] = vectors(weight.shape[-1])
        bits["kernels"] = vectors(int(np.prod(weight.shape[2:])))
    return bits
