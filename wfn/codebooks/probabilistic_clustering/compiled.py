"""Which centres each weight reaches, and who is taken by the one that most of them reach, compiled."""

import numpy as np

from wfn.system.compiled import compiled

LEAST_DEVIATION = 2.0**-20  # smaller ones count as this where a distance is divided by them


@compiled()
def reached(means, deviations, assignment, centres, most, small, packed):
    """Pack the interval of centres that each free weight reaches, and the weight itself, into one number.

    A weight of magnitude below ``small`` has distance 0 to zero, the centre in the middle. As no other centre is that
    small, the centres that it reaches stand side by side still.

    Args:
        means: float32 [N].
        deviations: float32 [N].
        assignment: int32 [N], -1 for the weights that are free.
        centres: float64 [c], ascending, fewer than 2^16.
        most: the distance up to which a centre is reached.
        small: magnitude below which a weight is at zero.
        packed: uint64 [at least as many as are free]; the numbers are written here: first centre, last centre, weight,
            in 16, 16 and 32 bits.

    Returns:
        how many weights reach a centre, and the least distance of any free weight to any centre.
    """
    count, nearest, zero = 0, np.inf, centres.size // 2
    for i in range(means.size):
        if assignment[i] >= 0:
            continue
        mean, deviation = np.float64(means[i]), max(np.float64(deviations[i]), LEAST_DEVIATION)
        # In [first, above) the distance is at most the one asked for: it falls towards the mean, and rises from there.
        above = np.searchsorted(centres, mean)
        first, stop = above, above
        if above > 0:
            nearest = min(nearest, (mean - centres[above - 1]) / deviation)
            first = _first_near(centres, mean, deviation, most, above)
        if above < centres.size:
            nearest = min(nearest, (centres[above] - mean) / deviation)
            stop = _stop_near(centres, mean, deviation, most, above)
        if abs(mean) < small:
            nearest = 0.0
            first, stop = (min(first, zero), max(stop, zero + 1)) if first < stop else (zero, zero + 1)
        if first < stop:
            packed[count] = (np.uint64(first) << np.uint64(48)) | (np.uint64(stop - 1) << np.uint64(32)) | np.uint64(i)
            count += 1
    return count, nearest


@compiled()
def _first_near(centres, mean, deviation, most, above):
    """The first of the centres below the mean, those before ``above``, that is near enough; ``above`` if none is."""
    if (mean - centres[above - 1]) / deviation > most:
        return above
    low, high = 0, above - 1  # the answer is in low..high
    while low < high:
        middle = (low + high) // 2
        if (mean - centres[middle]) / deviation <= most:
            high = middle
        else:
            low = middle + 1
    return low


@compiled()
def _stop_near(centres, mean, deviation, most, above):
    """One past the last of the centres from ``above`` on that is near enough; ``above`` if none is."""
    if (centres[above] - mean) / deviation > most:
        return above
    low, high = above, centres.size - 1
    while low < high:
        middle = (low + high + 1) // 2
        if (centres[middle] - mean) / deviation <= most:
            low = middle
        else:
            high = middle - 1
    return low + 1


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
