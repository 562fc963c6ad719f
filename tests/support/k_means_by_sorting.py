"""Lloyd's algorithm on a line with places sorted along and whole searches: what the compiled one is held equal to."""

import numpy as np

from wfn.codebooks.k_means import MOST_STEPS, STARTS


def k_means(values, clusters, start="even"):
    """As :func:`wfn.codebooks.k_means.k_means`, of values of which none is zero."""
    order = np.argsort(values, kind="stable")
    ordered = values[order].astype(np.float64)
    distinct = ordered[np.flatnonzero(np.diff(ordered, prepend=-np.inf))]
    centres = distinct if distinct.size <= clusters else _lloyd(ordered, STARTS[start](ordered, clusters))
    sizes = np.diff(_bounds(ordered, centres))
    centres, sizes = centres[sizes > 0], sizes[sizes > 0]
    assignment = np.empty(values.size, np.int32)
    assignment[order] = np.repeat(np.arange(centres.size), sizes)
    return centres.astype(np.float32), assignment


def _lloyd(ordered, start):
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


def _bounds(ordered, centres):
    """int64 [k + 1]: where the interval of each centre begins, and n."""
    midpoints = (centres[1:] + centres[:-1]) / 2
    return np.concatenate(([0], np.searchsorted(ordered, midpoints, side="right"), [ordered.size]))
