"""Which centres each weight reaches, and who is taken by the one that most of them reach, compiled."""

import numpy as np

from wfn.system.compiled import compiled

LEAST_DIVISOR = 2.0**-20  # smaller deviations count as this where a distance is divided by them
ROUNDING = 1 + 1e-12  # more than a product or a quotient of float64 can be off by
NEAR = 1e-6  # more than the ends of an interval can be off by, in units: they are 2^20 of them at most


@compiled()
def largest_of(means, free):
    """The greatest magnitude of the free weights; 0 where there is none."""
    largest = np.float32(0)
    for i in free:
        largest = max(largest, abs(means[i]))
    return largest


@compiled()
def positions(centres, unit):
    """How many centres are below each multiple of ``unit`` from the least centre to one past the greatest: int64.

    Every centre is such a multiple, so of any value it tells how many are below, by its quotient rounded up.
    """
    least = int(centres[0] / unit)
    below = np.empty(int(centres[-1] / unit) - least + 2, np.int64)
    position = 0
    for cell in range(below.size):
        while position < centres.size and centres[position] < (least + cell) * unit:
            position += 1
        below[cell] = position
    return below


@compiled()
def reached(means, deviations, free, centres, below, unit, most, small, packed):
    """Pack the interval of centres that each free weight reaches, and the weight itself, into one number.

    A weight of magnitude below ``small`` has distance 0 to zero, the centre in the middle. As no other centre is that
    small, the centres that it reaches stand side by side still.

    Args:
        means: float32 [N].
        deviations: float32 [N].
        free: uint32 [n], the weights that are free.
        centres: float64 [c], ascending, fewer than 2^16.
        below, unit: from :func:`positions`.
        most: the distance up to which a centre is reached.
        small: magnitude below which a weight is at zero.
        packed: uint64 [n]; the numbers are written here: first centre, last centre, weight, in 16, 16 and 32 bits.

    Returns:
        how many weights reach a centre.
    """
    count, zero = 0, centres.size // 2
    scale, least, past = 1 / unit, centres[0] / unit, np.float64(below.size - 1)
    # Nearer than this to a centre, in units, rounding could have an end on the wrong side of it: that is looked at.
    certain = 0.5 - NEAR if np.exp2(np.round(np.log2(unit))) == unit else -1.0
    for i in free:
        mean, deviation = np.float64(means[i]), max(np.float64(deviations[i]), LEAST_DIVISOR)
        low, high = (mean - most * deviation) * scale - least, (mean + most * deviation) * scale - least
        up, down = np.ceil(low), np.floor(high)
        first = below[np.uint64(min(max(up, 0.0), past))]
        stop = below[np.uint64(min(max(down + 1, 0.0), past))]
        if max(abs(up - low - 0.5), abs(high - down - 0.5)) > certain:  # there may be a centre at an end
            first, stop = _interval(mean, deviation, centres, below, unit, most)
        if abs(mean) < small:
            first, stop = (min(first, zero), max(stop, zero + 1)) if first < stop else (zero, zero + 1)
        packed[count] = (np.uint64(first) << np.uint64(48)) | (np.uint64(stop - 1) << np.uint64(32)) | np.uint64(i)
        count += first < stop
    return count


@compiled()
def _interval(mean, deviation, centres, below, unit, most):
    """The first centre at distance ``most`` at most, and the one behind the last, by divisions where these matter."""
    last = centres.size
    above = _below(below, centres, unit, mean)
    # In [first, stop) the distance is at most the one asked for: it falls towards the mean, and rises from there.
    # Where several are so near, the ends are looked up, and put right where rounding made a difference.
    first = stop = above
    if above > 0 and _near(mean - centres[above - 1], deviation, most):
        first = min(_below(below, centres, unit, mean - most * deviation), above - 1)
        while first > 0 and _near(mean - centres[first - 1], deviation, most):
            first -= 1
        while not _near(mean - centres[first], deviation, most):
            first += 1
    if above < last and _near(centres[above] - mean, deviation, most):
        stop = max(_below(below, centres, unit, mean + most * deviation), above + 1)
        while stop < last and _near(centres[stop] - mean, deviation, most):
            stop += 1
        while not _near(centres[stop - 1] - mean, deviation, most):
            stop -= 1
    return first, stop


@compiled()
def nearest(means, deviations, free, centres):
    """The least distance of a free weight to a centre, in deviations."""
    least = np.inf
    for i in free:
        mean, deviation = np.float64(means[i]), max(np.float64(deviations[i]), LEAST_DIVISOR)
        above = np.searchsorted(centres, mean)
        if above > 0:
            least = min(least, (mean - centres[above - 1]) / deviation)
        if above < centres.size:
            least = min(least, (centres[above] - mean) / deviation)
    return least


@compiled()
def _near(gap, deviation, most):
    """``gap / deviation <= most``, by a product where rounding cannot matter: a division takes longer."""
    reach = most * deviation
    if gap > reach * ROUNDING:
        return False
    return gap * ROUNDING < reach or gap / deviation <= most


@compiled()
def _below(below, centres, unit, value):
    """How many centres are below ``value``."""
    if value <= centres[0]:
        return 0
    if value > centres[-1]:
        return centres.size
    return below[int(np.ceil(value / unit) - centres[0] / unit)]


@compiled()
def assign(assignment, members, index):
    """Write ``index`` for all ``members``, uint32, into ``assignment``, int32 [N]."""
    for i in members:
        assignment[i] = index


@compiled()
def still_free(free, assignment):
    """Those of ``free`` that are assigned to nothing: its first part, written over."""
    count = 0
    for i in free:
        free[count] = i
        count += assignment[i] < 0
    return free[:count]


@compiled()
def spread(means, members):
    """The standard deviation of the means of ``members``, over all of them, in double precision."""
    total, squares = 0.0, 0.0
    for i in members:
        total += np.float64(means[i])
    mean = total / members.size
    for i in members:
        squares += (np.float64(means[i]) - mean) ** 2
    return np.sqrt(squares / members.size)


@compiled()
def unpack(packed):
    """Take sorted numbers of :func:`reached` apart: a group for each interval of centres.

    Returns:
        ``weights``, uint32 [n]; of each group the first and the last centre, where its weights begin among these, and
        one end more: int64 [g], [g], [g + 1].
    """
    weights = np.empty(packed.size, np.uint32)
    groups = 0
    for i in range(packed.size):
        weights[i] = np.uint32(packed[i] & np.uint64(0xFFFFFFFF))
        if i == 0 or packed[i] >> np.uint64(32) != packed[i - 1] >> np.uint64(32):
            groups += 1
    first, last, starts = np.empty(groups, np.int64), np.empty(groups, np.int64), np.empty(groups + 1, np.int64)
    group = 0
    for i in range(packed.size):
        if i == 0 or packed[i] >> np.uint64(32) != packed[i - 1] >> np.uint64(32):
            first[group] = np.int64(packed[i] >> np.uint64(48))
            last[group] = np.int64((packed[i] >> np.uint64(32)) & np.uint64(0xFFFF))
            starts[group] = i
            group += 1
    starts[groups] = packed.size
    return weights, first, last, starts


@compiled()
def take(weights, first, last, starts, left, counts, centre):
    """The weights that reach ``centre``, and they reach none any more: ``left`` and ``counts`` are brought up to date.

    Args:
        weights, first, last, starts: from :func:`unpack`.
        left: bool [g], True for the groups that are still there.
        counts: int64 [c], how many weights reach each centre.
        centre: by its position.

    Returns:
        uint32 [counts[centre]].
    """
    taken = np.empty(counts[centre], np.uint32)
    size = 0
    for group in range(first.size):
        if left[group] and first[group] <= centre <= last[group]:
            members = starts[group + 1] - starts[group]
            taken[size : size + members] = weights[starts[group] : starts[group + 1]]
            size += members
            left[group] = False
            for reachable in range(first[group], last[group] + 1):
                counts[reachable] -= members
    return taken
