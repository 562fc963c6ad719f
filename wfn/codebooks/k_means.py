"""k-means of numbers on a line: exact steps of Lloyd's algorithm at the cost of a search each."""

import numpy as np

MOST_STEPS = 10_000


def k_means(values: np.ndarray, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Cluster ``values`` by Lloyd's algorithm, from centres that are spaced evenly between the extremes.

    That start is the linear initialisation of Deep Compression (Han, Mao & Dally, ICLR 2016, section 3.2). The values
    are sorted once; a cluster is then an interval, found by a search for the midpoints between centres, and its mean a
    difference of prefix sums. A centre that no value is nearest to goes where the squared error is largest: it splits
    that cluster.

    Args:
        values: float32 [n], finite, n >= 1.
        clusters: how many; where there are no more distinct values than that, each becomes a centre.

    Returns:
        The centres in use, float32 [k] ascending, and for each value the index of its own, int32 [n]. A value in the
        middle between two centres belongs to the lesser.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order].astype(np.float64)
    distinct = ordered[np.flatnonzero(np.diff(ordered, prepend=-np.inf))]
    centres = distinct if distinct.size <= clusters else _lloyd(ordered, clusters)
    sizes = np.diff(_bounds(ordered, centres))
    centres, sizes = centres[sizes > 0], sizes[sizes > 0]
    assignment = np.empty(values.size, np.int32)
    assignment[order] = np.repeat(np.arange(centres.size), sizes)
    return centres.astype(np.float32), assignment


def _lloyd(ordered: np.ndarray, clusters: int) -> np.ndarray:
    """The centres, ascending, once no value changes its cluster any more, or after ``MOST_STEPS``."""
    sums, squares = (np.concatenate(([0.0], np.cumsum(ordered**power))) for power in (1, 2))
    centres = np.linspace(ordered[0], ordered[-1], clusters)
    before = np.empty(0, np.int64)
    for _ in range(MOST_STEPS):
        bounds = _bounds(ordered, centres)
        if np.array_equal(bounds, before):
            break
        before, sizes = bounds, np.diff(bounds)
        used = np.flatnonzero(sizes)
        centres[used] = np.diff(sums[bounds])[used] / sizes[used]
        if used.size < clusters:
            errors = np.diff(squares[bounds])[used] - sizes[used] * centres[used] ** 2
            worst = np.argsort(-errors, kind="stable")[: clusters - used.size]
            spread = np.sqrt(np.maximum(errors[worst], 0) / sizes[used][worst])
            empty = np.flatnonzero(sizes == 0)[: worst.size]
            centres[empty] = centres[used][worst] + spread
            centres.sort()
    return centres


def _bounds(ordered: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """int64 [k + 1]: where the interval of each centre begins, and n."""
    midpoints = (centres[1:] + centres[:-1]) / 2
    return np.concatenate(([0], np.searchsorted(ordered, midpoints, side="right"), [ordered.size]))
