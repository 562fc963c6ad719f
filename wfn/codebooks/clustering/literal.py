"""Algorithm 1 and the released code's clustering as they read: slow, and what the fast ones are held equal to."""

from functools import cache, partial
from itertools import pairwise

import numpy as np


def cluster(weights, target, delta, threshold):
    """Algorithm 1 with a matrix of distances and a sort for every fix. Returns [(centre, order, indices)]."""
    weights = np.asarray(weights, np.float64)
    free = np.ones(weights.size, bool)
    fixes = []
    largest = np.abs(weights).max(initial=0.0)

    @cache  # of one order they stay the same from fix to fix
    def distances_to_centres(order):
        centres, final = rounded_centres(delta, threshold, largest, order)
        return centres, np.array([[relative_distance(w, c, threshold) for c in centres] for w in weights]), final

    while np.sum(~free) < min(target, weights.size):
        order, tolerance = 1, delta
        while True:
            centres, distance, final = distances_to_centres(order)
            distance = distance[free]
            modal = np.argmax(np.bincount(distance.argmin(axis=1), minlength=len(centres)))
            centre = centres[modal]
            found = nearest_within_mean(weights, free, centre, distance[:, modal], tolerance)
            if found:
                break
            if final:
                tolerance *= 2
            else:
                order += 1
        free[found] = False
        fixes.append((centre, order, found))
    return fixes


def cluster_by_matrix(weights, target, delta, threshold):
    """:func:`cluster` for networks of real size: the same steps, each on whole arrays. Returns the same fixes."""
    weights = np.asarray(weights, np.float64)
    free, fixes = np.arange(weights.size), []
    centres_of = cache(partial(rounded_centres, delta, threshold, np.abs(weights).max(initial=0.0)))
    while weights.size - free.size < min(target, weights.size):
        order, tolerance = 1, delta
        values = weights[free]
        while True:
            centres, final = centres_of(order)
            centres = np.array(centres)
            nearest = np.concatenate([
                distances(rows, centres, threshold).argmin(axis=1)
                for rows in np.array_split(values, 1 + values.size * centres.size // 2**24)
            ])  # fmt: skip
            centre = centres[np.argmax(np.bincount(nearest, minlength=centres.size))]
            distance = distances(values, centre[None], threshold)[:, 0]
            above = np.abs(values) > abs(centre)
            nearest_first = np.lexsort((np.where(above, free, -free), above, distance))
            nearest_first = nearest_first[distance[nearest_first] <= 1 - 2.0**-40]
            total = np.cumsum(distance[nearest_first])
            taken = int(np.sum(total <= tolerance * (1 + 1e-9) * np.arange(1, total.size + 1)))
            if taken:
                break
            if final:
                tolerance *= 2
            else:
                order += 1
        fixes.append((float(centre), order, free[nearest_first[:taken]].tolist()))
        free = np.delete(free, nearest_first[:taken])
    return fixes


def distances(weights, centres, threshold):
    """:func:`relative_distance` of every weight [n] to every centre [k]: [n, k]."""
    magnitudes = np.abs(weights)[:, None]
    small = magnitudes < threshold
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.abs(weights[:, None] - centres) / magnitudes
    return np.where(small, np.where(centres == 0, 0.0, np.inf), far)


def relative_distance(weight, centre, threshold):
    """Eq. 2, with weights below the threshold at distance 0 from zero and unreachable for the other centres."""
    if abs(weight) < threshold:
        return 0.0 if centre == 0 else np.inf
    return abs(weight - centre) / abs(weight)


def nearest_within_mean(weights, free, centre, distance, tolerance):
    """Eq. 3: the indices of the most weights, nearest first, whose mean distance is within the tolerance."""

    def nearness(pair):
        index, distance = pair
        above = abs(weights[index]) > abs(centre)
        return distance, above, index if above else -index

    candidates = sorted(
        ((i, d) for i, d in zip(np.flatnonzero(free), distance, strict=True) if d <= 1 - 2.0**-40), key=nearness
    )
    taken, total = [], 0.0
    for index, d in candidates:
        total += d
        if total > (len(taken) + 1) * tolerance * (1 + 1e-9):
            break
        taken.append(int(index))
    return taken


def rounded_centres(delta, threshold, largest, order):
    """All centres, nearest to zero first, positive ones first, and whether a higher order would change nothing."""
    positive, final = rounded_proposals(delta, threshold, largest, order)
    return sorted({0.0, *positive, *(-c for c in positive)}, key=lambda c: (abs(c), c < 0)), final


def rounded_proposals(delta, threshold, largest, order):
    """Eq. 1's positive proposals rounded to sums of powers of two, and whether a higher order would change nothing."""
    centres, final = set(), True
    centre = threshold
    while centre <= largest:
        total = nearest_power(centre)
        for _ in range(order - 1):
            residual = centre - total
            if abs(residual) < delta * centre or abs(nearest_power(residual)) < 2 ** (
                np.floor(np.log2(threshold)) - order
            ):
                break
            total += nearest_power(residual)
        centres.add(float(total))
        final &= bool(abs(centre - total) < delta * centre)
        centre *= (1 + delta) / (1 - delta)
    return sorted(centres), final


def nearest_power(value):
    """The power of two nearest to ``value`` in the log domain, with its sign."""
    return np.sign(value) * 2.0 ** np.round(np.log2(abs(value)))


def cluster_as_released(weights, target, delta, threshold):
    """The released code's rules, weight by weight and centre by centre. Returns [(centre, order, indices)]."""
    weights = [float(w) for w in weights]
    free, fixes = list(range(len(weights))), []
    order, tolerance, left = 1, delta, min(target, len(weights))

    @cache  # the largest free weight often stays the same from fix to fix
    def centres_and_bounds(largest, order):
        centres = released_centres(delta, threshold, largest, order)
        return centres, np.array(midpoints(centres))

    while left:
        centres, bounds = centres_and_bounds(max(abs(weights[i]) for i in free), order)
        votes = [0] * len(centres)
        for i in free:
            votes[int(np.searchsorted(bounds, weights[i], "left"))] += 1
        centre = centres[votes.index(max(votes))]
        distance = {i: released_distance(weights[i], centre, threshold) for i in free}
        nearest_first = sorted(free, key=lambda i: (distance[i], i))
        exact = sum(distance[i] == 0 for i in free)
        total, taken = 0.0, 0
        for n, i in enumerate(nearest_first, 1):
            total += distance[i]
            if total <= tolerance * max(n - exact if exact > 1 else n, 1):
                taken = n
        found = nearest_first[: min(taken, left)]
        if not found:
            order += 1
            tolerance = 2 * tolerance if order > 21 else delta
            continue
        fixes.append((centre, order, found))
        free = [i for i in free if i not in set(found)]
        left, tolerance = left - len(found), delta
    return fixes


def midpoints(centres):
    """Halfway between neighbours."""
    return [(a + b) / 2 for a, b in pairwise(centres)]


def released_distance(weight, centre, threshold):
    """Relative, but 0 from zero for small weights and 1 for the others."""
    if centre == 0:
        return 0.0 if abs(weight) < threshold else 1.0
    return abs(weight - centre) / abs(weight) if weight else np.inf


def released_centres(delta, threshold, largest, order):
    """Signed sums of powers of two, one proposal after another; terms are raised to the smallest exponent."""
    smallest = np.log2(threshold) - order
    found, proposal = {0.0}, threshold
    growth = (1 + delta) / (1 - delta)
    for step in range(10**6):
        proposal = threshold * growth**step
        if proposal >= largest:
            break
        total = 2.0 ** max(smallest, np.round(np.log2(proposal)))
        for _ in range(order - 1):
            residual = proposal - total
            if residual == 0 or abs(residual) < delta * proposal:
                break
            total += np.sign(residual) * 2.0 ** max(smallest, np.round(np.log2(abs(residual))))
        found |= {float(total), -float(total)}
    return sorted(found)
