"""Clusterings: against the literal centres x weights algorithm, and against one sort of the same vector."""

import tracemalloc
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from benchmarks.timing import Comparison, seconds_of, side_by_side, timed
from wfn.codebooks.clustering import literal
from wfn.codebooks.clustering.algorithm import cluster
from wfn.codebooks.k_means import STARTS, k_means
from wfn.codebooks.quantisers.learned_basis import ChannelLayer, LearnedBasis

THRESHOLD = 2.0**-7
DELTAS = (0.015, 0.0075)
RESNET20 = 272_474
RESNET50 = 25_600_000


def random_weights(size: int, seed: int = 0) -> np.ndarray:
    """float32 [size]: a mixture of two normal distributions, for the heavier tails that trained weights have."""
    generator = np.random.default_rng(seed)
    scale = np.where(generator.random(size) < 0.8, 0.02, 0.08)
    return (generator.standard_normal(size) * scale).astype(np.float32)


def against_the_literal(weights: np.ndarray) -> Iterator[Comparison]:
    """One clustering of everything; the literal version runs once."""
    for delta in DELTAS:
        fast = seconds_of(lambda delta=delta: cluster(weights, weights.size, delta, THRESHOLD))
        slow = timed(lambda delta=delta: literal.cluster_by_matrix(weights, weights.size, delta, THRESHOLD))
        what = f"clustering, {weights.size:,} weights, delta {delta}"
        yield Comparison(what, fast, "literal centres x weights", slow, "500 times faster", 500 * fast <= slow)
        yield Comparison(what, fast, "", None, "0.1 s", fast <= 0.1)


def against_a_sort(size: int = RESNET50) -> Iterator[Comparison]:
    """A ResNet-50's worth of weights, against ``np.sort``; and the peak of memory against the vector's own."""
    weights = random_weights(size)
    for delta in DELTAS:
        fast, sort = side_by_side(
            lambda delta=delta: cluster(weights, size, delta, THRESHOLD), lambda: np.sort(weights), repeats=3
        )
        what = f"clustering, {size:,} weights, delta {delta}"
        yield Comparison(what, fast, "np.sort of them", sort, "4 times the sort", fast <= 4 * sort)
    tracemalloc.start()
    cluster(weights, size, DELTAS[-1], THRESHOLD)
    copies = tracemalloc.get_traced_memory()[1] / weights.nbytes
    tracemalloc.stop()
    yield Comparison(f"clustering, {size:,} weights: memory, {copies:.1f} copies", 0, "", None, "8 copies", copies <= 8)


def others_against_a_sort(size: int = RESNET50) -> Iterator[Comparison]:
    """k-means of as many weights from both starts, and the first fit of learned bases, against ``np.sort`` of them."""
    weights = random_weights(size)
    for start in STARTS:
        fast, sort = side_by_side(lambda start=start: k_means(weights, 256, start), lambda: np.sort(weights), 3)
        what = f"k-means, {size:,} weights, 256 values, start {start}"
        yield Comparison(what, fast, "np.sort of them", sort, "10 times the sort", fast <= 10 * sort)
        yield Comparison(what, fast, "", None, "3 s", fast <= 3)
    latent, layer = torch.from_numpy(weights), ChannelLayer(0, size, size // 4_000)
    fast, sort = side_by_side(lambda: LearnedBasis(latent, [layer], 3), lambda: np.sort(weights), 3)
    what = f"first fit of learned bases, {size:,} weights in channels of {size // layer.channels:,}"
    yield Comparison(what, fast, "np.sort of them", sort, "10 times the sort", fast <= 10 * sort)


def growth(sizes: Sequence[int], literal_up_to: int) -> dict[str, list[tuple[int, float]]]:
    """Name -> (N, seconds) at delta = 0.0075."""
    delta, curves = DELTAS[-1], {"wfn": [], "literal": [], "np.sort": []}
    for size in sizes:
        weights = random_weights(size)
        curves["wfn"].append((size, seconds_of(lambda: cluster(weights, size, delta, THRESHOLD), 3)))  # noqa: B023
        curves["np.sort"].append((size, seconds_of(lambda: np.sort(weights), 3)))  # noqa: B023
        if size <= literal_up_to:
            slow = timed(lambda: literal.cluster_by_matrix(weights, size, delta, THRESHOLD))  # noqa: B023
            curves["literal"].append((size, slow))
    return curves
