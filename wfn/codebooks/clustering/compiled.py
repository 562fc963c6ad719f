"""The questions of Algorithm 1 about the free weights of one sign, compiled: each a few binary searches.

A *position* counts sorted weights, a *rank* only those still free: ``ranks[i]`` weights are free before interval i.
The compiled code is kept on disk.
"""

from typing import NamedTuple

import numpy as np

from wfn.system.compiled import compiled

ROUNDING = 1 + 1e-9  # a mean distance that equals the tolerance but for rounding counts as equal
WIDEST = 1 - 2.0**-40  # just below 1, by more than rounding


class Free(NamedTuple):
    """The free weights: sorted ones, and the half-open intervals of positions where none is fixed yet.

    Attributes:
        magnitude: float32 [n], ascending.
        inverse_sums: float64 [n + 1], the sum of ``1/w`` from each position on, free or not; from there on, because the
            largest weights have the smallest terms, and these would drown in a sum of all before them.
        starts: int64 [s], where the intervals begin, ascending; s is at least 1, an empty one stands for none.
        stops: int64 [s], where they end.
        ranks: int64 [s + 1], how many weights are free before each interval, and in all.
        sums: float64 [s + 1], the sum of ``1/w`` over those that are free from each interval on.
    """

    magnitude: np.ndarray
    inverse_sums: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    ranks: np.ndarray
    sums: np.ndarray


@compiled()
def with_intervals(magnitude, inverse_sums, starts, stops):
    """The free weights, given the intervals where they are."""
    ranks, sums = np.zeros(starts.size + 1, np.int64), np.zeros(starts.size + 1)
    for i in range(starts.size):
        ranks[i + 1] = ranks[i] + stops[i] - starts[i]
    for i in range(starts.size - 1, -1, -1):
        sums[i] = sums[i + 1] + inverse_sums[starts[i]] - inverse_sums[stops[i]]
    return Free(magnitude, inverse_sums, starts, stops, ranks, sums)


@compiled()
def count(free, cells):
    """How many weights are free between each two neighbours of ``cells``, ascending positions [k + 1]: int64 [k]."""
    counts = np.empty(cells.size - 1, np.int64)
    interval, before = 0, np.int64(0)
    for k in range(cells.size):
        while interval + 1 < free.starts.size and free.starts[interval + 1] <= cells[k]:
            interval += 1
        inside = min(max(cells[k], free.starts[interval]), free.stops[interval])
        rank = free.ranks[interval] + inside - free.starts[interval]
        if k:
            counts[k - 1] = rank - before
        before = rank
    return counts


@compiled()
def reach(free, centre, tolerance):
    """The largest set of free weights, nearest to ``centre`` first, with mean relative distance <= ``tolerance``.

    The mean rises with the size of the set, so the size is found by bisection; for a given size, how many of the
    nearest lie below the centre is another one, and their summed distance is a difference of running sums.

    Returns:
        Its first and last rank (half-open) and summed distance. The ranks are equal where even the nearest weight is
        too far.
    """
    middle = _rank(free, np.searchsorted(free.magnitude, centre, "right"))
    below = middle - _rank(free, np.searchsorted(free.magnitude, centre / (1 + WIDEST), "left"))
    above = _rank(free, np.searchsorted(free.magnitude, centre / (1 - WIDEST), "right")) - middle
    middle_sum = _inverse_sum(free, middle)
    fits, first, last, distance = 0, middle, middle, 0.0
    too_many = below + above + 1
    while too_many - fits > 1:
        size = (fits + too_many) // 2
        taken_below = _nearest_below(free, centre, middle, below, above, size)
        low, high = middle - taken_below, middle + size - taken_below
        sum_below = centre * (_inverse_sum(free, low) - middle_sum) - taken_below
        sum_above = (size - taken_below) - centre * (middle_sum - _inverse_sum(free, high))
        if sum_below + sum_above <= tolerance * ROUNDING * size:
            fits, first, last, distance = size, low, high, sum_below + sum_above
        else:
            too_many = size
    return first, last, max(distance, 0.0)


@compiled()
def cut(free, first, last):
    """Fix the free weights of ranks ``first .. last - 1``.

    Returns:
        The starts and the stops of the stretches of positions where they stood, and what is still free.
    """
    head = np.searchsorted(free.ranks, first, "right") - 1
    tail = np.searchsorted(free.ranks, last, "left") - 1
    taken_starts, taken_stops = free.starts[head : tail + 1].copy(), free.stops[head : tail + 1].copy()
    taken_starts[0] += first - free.ranks[head]
    taken_stops[-1] = free.starts[tail] + last - free.ranks[tail]
    starts = np.concatenate((free.starts[: head + 1], taken_stops[-1:], free.starts[tail + 1 :]))
    stops = np.concatenate((free.stops[:head], taken_starts[:1], free.stops[tail:]))
    kept = stops > starts
    if not kept.any():
        kept[0] = True
    return taken_starts, taken_stops, with_intervals(free.magnitude, free.inverse_sums, starts[kept], stops[kept])


@compiled()
def _nearest_below(free, centre, middle, below, above, size):
    """How many of the ``size`` weights nearest to ``centre`` are at most as large; equally near ones come first."""
    fewest, most = max(0, size - above), min(size, below)
    while fewest < most:
        taken = (fewest + most) // 2
        next_below, last_above = _magnitude(free, middle - taken - 1), _magnitude(free, middle + size - taken - 1)
        if (centre - next_below) / next_below <= (last_above - centre) / last_above:
            fewest = taken + 1
        else:
            most = taken
    return fewest


@compiled()
def _rank(free, position):
    """How many weights are free before ``position``."""
    interval = max(np.searchsorted(free.starts, position, "right") - 1, 0)
    inside = min(max(position, free.starts[interval]), free.stops[interval])
    return free.ranks[interval] + inside - free.starts[interval]


@compiled()
def _magnitude(free, rank):
    """The free weight of ``rank``, in double precision."""
    interval = np.searchsorted(free.ranks, rank, "right") - 1
    return np.float64(free.magnitude[free.starts[interval] + rank - free.ranks[interval]])


@compiled()
def _inverse_sum(free, rank):
    """The sum of ``1/w`` over the free weights from ``rank`` on."""
    interval = min(np.searchsorted(free.ranks, rank, "right"), free.starts.size) - 1
    position = free.starts[interval] + rank - free.ranks[interval]
    return free.sums[interval + 1] + free.inverse_sums[position] - free.inverse_sums[free.stops[interval]]
