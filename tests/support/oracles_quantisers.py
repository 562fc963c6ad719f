"""Quantisers as their papers write them: every choice tried for every number, in float64."""

from itertools import product

import numpy as np


def cheapest(number, lengths, rate, lowest):
    """The least cost ``(number - k)^2 + rate * length`` over all levels k, the first of which is ``lowest``."""
    return min((number - k) ** 2 + rate * length for k, length in enumerate(lengths, lowest))


def lengths_of(counts):
    """Bits of each symbol under the shares of ``counts``, each raised by one."""
    total = sum(counts) + len(counts)
    return [-np.log2((count + 1) / total) for count in counts]


def learned_step(number, step, lowest, highest):
    """LSQ's quantised number with its slopes in the number and in the step, as the paper's cases have them."""
    scaled = number / step
    value = round(min(max(scaled, lowest), highest)) * step
    if scaled <= lowest:
        return value, 0.0, lowest
    if scaled >= highest:
        return value, 0.0, highest
    return value, 1.0, round(scaled) - scaled


def nearest_of_all_codes(number, basis):
    """LQ-Nets' nearest signed sum of a basis, by trying every code: (its distance, the codes that have it)."""
    codes = list(product((-1.0, 1.0), repeat=len(basis)))
    distances = [abs(number - sum(b * v for b, v in zip(code, basis, strict=True))) for code in codes]
    least = min(distances)
    return least, [code for code, distance in zip(codes, distances, strict=True) if distance <= least + 1e-6]


def trace_penalty(rows, columns):
    """Deep k-Means' Tr(W^T W) - Tr(F^T W^T W F), rows [N, s] as W's columns and F [N, K]; and its gradient in rows."""
    gram = rows.astype(np.float64) @ rows.astype(np.float64).T
    value = np.trace(gram) - np.trace(columns.T @ gram @ columns)
    return value, 2 * (np.eye(len(rows)) - columns @ columns.T) @ rows.astype(np.float64)
