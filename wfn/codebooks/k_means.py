"""k-means of numbers on a line: exact steps of Lloyd's algorithm, each at the cost of a short search a centre."""

import numpy as np

from wfn.system.compiled import compiled

MOST_STEPS = 10_000
CELLS = 32  # of equal counts, for each centre
WIDTHS = 16  # cells of one width, for each centre
BLOCK = 64  # values between two prefix sums that are kept: few enough that the sums stay in the cache


def even_start(ordered: np.ndarray, clusters: int) -> np.ndarray:
    """Centres spaced evenly between the extremes.

    It is the linear initialisation of Deep Compression (Han, Mao & Dally, ICLR 2016, section 3.2). Where
    few values lie far out, as batch-norm's do, Lloyd's algorithm ends from here near an even grid, at up to several
    times the least squared error, whose values take fewer bits.
    """
    return np.linspace(float(ordered[0]), float(ordered[-1]), clusters)


def density_start(ordered: np.ndarray, clusters: int) -> np.ndarray:
    """Centres as dense as the cube root of the values' density.

    For many centres that is the best (Panter & Dite, Quantization Distortion in Pulse-Count Modulation with Nonuniform
    Spacing of Levels, Proceedings of the IRE, 1951). The density is that of :data:`CELLS` cells for each centre, of
    equally many values; over a cell of width d its cube root adds up to something in proportion to ``d^(2/3)``.
    """
    cells = min(CELLS * clusters, ordered.size - 1)
    edges = ordered[np.linspace(0, ordered.size - 1, cells + 1).astype(np.int64)].astype(np.float64)
    added_up = np.concatenate(([0.0], np.cumsum(np.diff(edges) ** (2 / 3))))
    return np.interp((np.arange(clusters) + 0.5) / clusters * added_up[-1], added_up, edges)


STARTS = {"even": even_start, "density": density_start}


def k_means(values: np.ndarray, clusters: int, start: str = "even") -> tuple[np.ndarray, np.ndarray]:
    """Cluster ``values`` by Lloyd's algorithm, from one of :data:`STARTS`.

    The values are sorted once, without their places; a cluster is then an interval, found by a search for the midpoints
    between centres, and its mean a difference of prefix sums, of which every 64th is kept. A centre that no value is
    nearest to goes where the squared error is largest: it splits that cluster.

    Differs: where values are zero, and with two clusters or more, one centre stays zero, so that what is sparse stays
    sparse; it is the one that starts nearest to zero.

    Args:
        values: float32 [n], finite, n >= 1.
        clusters: how many; where there are no more distinct values than that, each becomes a centre.
        start: where the centres start, a name in :data:`STARTS`.

    Returns:
        The centres in use, float32 [k] ascending, and for each value the index of its own, int32 [n]. A value in the
        middle between two centres belongs to the lesser.
    """
    ordered = np.sort(values)
    ordered += np.float32(0)  # turns -0.0 into 0.0
    centres = _distinct(ordered, clusters).astype(np.float64)
    if centres.size > clusters:
        centres = STARTS[start](ordered, clusters)
        holds_zero = clusters > 1 and bool(np.searchsorted(ordered, 0, "left") < np.searchsorted(ordered, 0, "right"))
        if holds_zero:
            centres[np.abs(centres).argmin()] = 0.0
        centres = _lloyd(ordered, centres, holds_zero)
    midpoints = (centres[1:] + centres[:-1]) / 2
    assignment, sizes = _assigned(values, midpoints, WIDTHS * centres.size)
    used = np.flatnonzero(sizes)
    if used.size < centres.size:
        assignment = (np.cumsum(sizes > 0) - 1).astype(np.int32)[assignment]
    return centres[used].astype(np.float32), assignment


def _lloyd(ordered: np.ndarray, start: np.ndarray, holds_zero: bool) -> np.ndarray:
    """The centres, ascending, that began as ``start``, once no value changes its cluster, or after ``MOST_STEPS``.

    Where it ``holds_zero`` a value is zero, and so is a centre, which stays: then no other can come upon zero.
    """
    sums, squares = _sums_before(ordered, False), None
    centres, bounds = start.copy(), np.zeros(start.size + 1, np.int64)
    bounds[-1] = ordered.size
    steps = 0
    while steps < MOST_STEPS:
        held = int(np.searchsorted(centres, 0.0)) if holds_zero else -1
        steps, settled = _settle(ordered, sums, centres, bounds, held, steps, MOST_STEPS)
        if settled:
            break
        if squares is None:
            squares = _sums_before(ordered, True)
        _split(centres, bounds, _sums_at(ordered, sums, bounds, False), _sums_at(ordered, squares, bounds, True))
    return centres


def _split(centres: np.ndarray, bounds: np.ndarray, sums: np.ndarray, squares: np.ndarray) -> None:
    """Put each centre without values beside one of those with the largest squared errors, in place.

    Args:
        centres: float64 [k].
        bounds: int64 [k + 1], where the values of each begin.
        sums, squares: float64 [k + 1], of all values before each bound, and of their squares.
    """
    sizes = np.diff(bounds)
    used = np.flatnonzero(sizes)
    means = np.diff(sums)[used] / sizes[used]
    errors = np.diff(squares)[used] - sizes[used] * means**2
    worst = np.argsort(-errors, kind="stable")[: sizes.size - used.size]
    spread = np.sqrt(np.maximum(errors[worst], 0) / sizes[used][worst])
    empty = np.flatnonzero(sizes == 0)[: worst.size]
    centres[empty] = centres[used][worst] + spread
    centres.sort()


@compiled()
def _sums_before(ordered, squared):
    """The sum of all values, or squares, before every :data:`BLOCK`-th one, float64, added up in their order."""
    sums, total = np.empty(ordered.size // BLOCK + 1), 0.0
    for i in range(ordered.size):
        if i % BLOCK == 0:
            sums[i // BLOCK] = total
        value = np.float64(ordered[i])
        total += value * value if squared else value
    if ordered.size % BLOCK == 0:
        sums[-1] = total
    return sums


@compiled()
def _sum_up_to(ordered, sums, count, squared):
    """The sum of the first ``count`` values, or squares: to the bit what adding them up in their order gives."""
    block = count // BLOCK
    total = sums[block]
    for i in range(block * BLOCK, count):
        value = np.float64(ordered[i])
        total += value * value if squared else value
    return total


@compiled()
def _sums_at(ordered, sums, bounds, squared):
    """The same for each of ``bounds``."""
    found = np.empty(bounds.size)
    for k in range(bounds.size):
        found[k] = _sum_up_to(ordered, sums, bounds[k], squared)
    return found


@compiled()
def _settle(ordered, sums, centres, bounds, held, steps, most):
    """Step until no bound moves, or one cluster is empty, or ``most`` steps are done: in place.

    Returns:
        How many steps are done then, and whether it has settled.
    """
    clusters = centres.size
    up_to = _sums_at(ordered, sums, bounds, False)
    while steps < most:
        steps += 1
        same, empty = True, False
        for k in range(1, clusters):
            bound = _up_to(ordered, (centres[k] + centres[k - 1]) / 2, bounds[k])
            if bound != bounds[k]:
                same = False
                bounds[k], up_to[k] = bound, _sum_up_to(ordered, sums, bound, False)
        if same and steps > 1:
            return steps, True
        for k in range(clusters):
            size = bounds[k + 1] - bounds[k]
            if size and k != held:
                centres[k] = (up_to[k + 1] - up_to[k]) / size
            empty |= size == 0
        if empty:
            return steps, False
    return steps, True


@compiled()
def _up_to(ordered, value, guess):
    """How many of ``ordered`` are at most ``value``, searched for from a ``guess`` on, in ever wider strides."""
    low, high, stride = guess, guess, 1
    while low > 0 and ordered[low - 1] > value:
        high = low - 1
        low = max(high - stride, 0)
        stride *= 2
    while high < ordered.size and ordered[high] <= value:
        low = high + 1
        high = min(low + stride, ordered.size)
        stride *= 2
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


@compiled()
def _distinct(ordered, most):
    """The distinct values of ``ordered``, ascending; the first ``most + 1`` where there are more."""
    found, count = np.empty(min(most + 1, ordered.size), ordered.dtype), 0
    for i in range(ordered.size):
        if count == found.size:
            break
        if i == 0 or ordered[i] != ordered[i - 1]:
            found[count] = ordered[i]
            count += 1
    return found[:count]


@compiled()
def _assigned(values, midpoints, cells):
    """For each value how many ``midpoints`` (ascending) lie below it, int32 [n], and how many values have which.

    A table of cells of one width has the midpoints that lie in cells before; those in the same cell are gone through.
    """
    assignment, sizes = np.empty(values.size, np.int32), np.zeros(midpoints.size + 1, np.int64)
    if not midpoints.size:
        assignment[:] = 0
        sizes[0] = values.size
        return assignment, sizes
    lowest, before = midpoints[0], np.zeros(cells, np.int64)
    width = max(midpoints[-1] - lowest, 1e-300) / (cells - 1)
    for k in range(midpoints.size):
        before[_cell(midpoints[k], lowest, width, cells) + 1 :] += 1
    for i in range(values.size):
        value = np.float64(values[i])
        index = before[_cell(value, lowest, width, cells)]
        while index < midpoints.size and midpoints[index] < value:
            index += 1
        assignment[i] = index
        sizes[index] += 1
    return assignment, sizes


@compiled()
def _cell(value, lowest, width, cells):
    """The cell of ``value``; it never falls as values rise, however it is rounded."""
    return int(min(max((value - lowest) / width, 0.0), cells - 1.0))
