"""The slow, literal version of the merging: every distance between every weight and every centre."""

from itertools import combinations_with_replacement

import numpy as np


def merge(means, deviations, target, rules):
    """Merge ``target`` weights; returns [(centre, order, distance, indices)], the indices ascending."""
    means, deviations = np.asarray(means, np.float64), np.maximum(np.asarray(deviations, np.float64), 2.0**-20)
    free = set(range(means.size))
    merges, order, within, turn = [], 1, rules.distance, 0
    while free and means.size - len(free) < target:
        centres = sorted(sums(order, max(abs(means[i]) for i in free), rules.threshold), key=lambda c: (abs(c), c < 0))
        while centres and means.size - len(free) < target:
            caught = {
                c: sorted(
                    (distance, i)
                    for i in free
                    if (distance := distance_of(means[i], deviations[i], c, rules)) <= within
                )
                for c in centres
            }
            centre = max(centres, key=lambda c: len(caught[c]))  # the first of the most popular ones
            if not caught[centre]:
                break
            taken = [i for _, i in caught[centre][: target - (means.size - len(free))]]
            free -= set(taken)
            centres.remove(centre)
            merges.append((centre, order, within, sorted(taken)))
        turn += 1
        if order < rules.orders and turn % 2:
            order += 1
        else:
            within *= rules.growth
    return merges


def distance_of(mean, deviation, centre, rules):
    """Of a weight to a centre, in deviations; a small weight is at zero."""
    if rules.zero_fix and centre == 0 and abs(mean) < rules.threshold:
        return 0.0
    return abs(centre - mean) / deviation


def sums(order, largest, threshold):
    """Sums of ``order`` draws from zero and the powers of two, and their negatives, as float32 has them."""
    terms, power = [0.0], threshold
    while largest > 0 and power <= 2.0 ** (np.ceil(np.log2(largest)) - 1):
        terms.append(power)
        power *= 2
    found = {sum(draw) for draw in combinations_with_replacement(terms, order)}
    positive = {float(np.float32(value)) for value in found if value <= largest}
    return positive | {-value for value in positive if value}
