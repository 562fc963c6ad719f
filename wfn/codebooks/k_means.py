"""k-means of numbers on a line: exact steps of Lloyd's algorithm at the cost of a search each."""

import numpy as np

MOST_STEPS = 10_000
CELLS = 32  # of equal counts, for each centre


def even_start(ordered: np.ndarray, clusters: int) -> np.ndarray:
    """Centres spaced evenly between the extremes.

    It is the linear initialisation of Deep Compression (Han, Mao & Dally, ICLR 2016, section 3.2). Where
    few values lie far out, as batch-norm's do, Lloyd's algorithm ends from here near an even grid, at up to several
    times the least squared error, whose values take fewer bits.
    """
    return np.linspace(ordered[0], ordered[-1], clusters)


def density_start(ordered: np.ndarray, clusters: int) -> np.ndarray:
    """Centres as dense as the cube root of the values' density.

    For many centres that is the best (Panter & Dite, Quantization Distortion in Pulse-Count Modulation with Nonuniform
    Spacing of Levels, Proceedings of the IRE, 1951). The density is that of :data:`CELLS` cells for each centre, of
    equally many values; over a cell of width d its cube root adds up to something in proportion to ``d^(2/3)``.
    """
    cells = min(CELLS * clusters, ordered.size - 1)
    edges = ordered[np.linspace(0, ordered.size - 1, cells + 1).astype(np.int64)]
    added_up = np.concatenate(([0.0], np.cumsum(np.diff(edges) ** (2 / 3))))
    return np.interp((np.arange(clusters) + 0.5) / clusters * added_up[-1], added_up, edges)


STARTS = {"even": even_start, "density": density_start}


def k_means(values: np.ndarray, clusters: int, start: str = "even") -> tuple[np.ndarray, np.ndarray]:
    """Cluster ``values`` by Lloyd's algorithm, from one of :data:`STARTS`.

    The values are sorted once; a cluster is then an interval, found by a search for the midpoints between centres, and
    its mean a difference of prefix sums. A centre that no value is nearest to goes where the squared error is largest:
    it splits that cluster.

    Args:
        values: float32 [n], finite, n >= 1.
        clusters: how many; where there are no more distinct values than that, each becomes a centre.
        start: where the centres start, a name in :data:`STARTS`.

    Returns:
        The centres in use, float32 [k] ascending, and for each value the index of its own, int32 [n]. A value in the
        middle between two centres belongs to the lesser.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order].astype(np.float64)
    distinct = ordered[np.flatnonzero(np.diff(ordered, prepend=-np.inf))]
    centres = distinct if distinct.size <= clusters else _lloyd(ordered, STARTS[start](ordered, clusters))
    sizes = np.diff(_bounds(ordered, centres))
    centres, sizes = centres[sizes > 0], sizes[sizes > 0]
    assignment = np.empty(values.size, np.int32)
    assignment[order] = np.repeat(np.arange(centres.size), sizes)
    return centres.astype(np.float32), assignment


def _lloyd(ordered: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The centres, ascending, that began as ``start``, once no value changes its cluster, or after ``MOST_STEPS``."""
    sums, squares = (np.concatenate(([0.0], np.cumsum(ordered**power))) for power in (1, 2))
    centres, clusters = start.copy(), start.size
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
