"""Weights that carry a deviation each are merged into shared values: the most popular value first.

A centre that most of the free weights reach takes them; what it costs to find them does not depend on how many weights
there are times how many centres. The centres that a weight reaches stand side by side, so the weights fall into few
groups, one for each interval of centres, and how many reach which centre is a sum of differences. The cost is a sort of
the weights that reach a centre, for every turn; ``literal.py`` holds the version that forms all distances.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from wfn.codebooks.probabilistic_clustering.additive_centres import centres_of_order
from wfn.codebooks.probabilistic_clustering.compiled import (
    LEAST_DIVISOR,
    assign,
    largest_of,
    nearest,
    positions,
    reached,
    spread,
    still_free,
    take,
    unpack,
)
from wfn.errors import UserError

MOST_OCTAVES = 20  # between the threshold and the largest weight: a centre has to fit into 16 bits, and a table


class Rules(NamedTuple):
    """By which weights are merged.

    Attributes:
        threshold: smallest power of two among the centres.
        orders: of how many powers of two a centre is the sum at most.
        distance: in deviations, up to which a weight is merged to begin with.
        growth: by which that is multiplied where no centre reaches a weight any more.
        zero_fix: whether weights of magnitude below ``threshold`` are at distance 0 from zero.
    """

    threshold: float = 2.0**-7
    orders: int = 4
    distance: float = 1.0
    growth: float = 2.0
    zero_fix: bool = True


@dataclass(frozen=True)
class Merge:
    """One centre took weights.

    Attributes:
        centre: a float32 value.
        order: at which it was found.
        distance: in deviations, up to which weights were taken.
        weights: how many were.
        deviation: the standard deviation of their means, those before, over all of them (not their number less one).
    """

    centre: float
    order: int
    distance: float
    weights: int
    deviation: float


@dataclass(frozen=True)
class Merging:
    """The merges in the order in which they were made, and for each weight the index of its own, or -1.

    ``assignment`` is int32 [N], in the order of the weights given.
    """

    merges: tuple[Merge, ...]
    assignment: np.ndarray

    def centres(self) -> list[float]:
        """The centre of each merge."""
        return [merge.centre for merge in self.merges]


def merge_weights(means: np.ndarray, deviations: np.ndarray, target: int, rules: Rules) -> Merging:
    """Merge exactly ``target`` of the weights, or all of them where there are fewer.

    By turns, with the centres of an order and a distance: the centre that most free weights reach takes them all, or
    the nearest where fewer are still to be merged, until none reaches any. Then the order rises, then the distance
    grows, and so on by turns; each time the centres are built anew from the largest weight that is still free.

    Source: the code of Probabilistic Weight Fixing (Subia-Waud & Dasmahapatra, NeurIPS 2023).

    Differs:
        - Ties, which that code leaves to the order of its arrays: of equally popular centres the one of least
          magnitude, then the positive one; of equally near weights those that stand first.
        - The distance 0 of small weights is always to zero itself. There it goes to the centre in the middle of those
          not taken yet, which can be another one.

    Args:
        means: float32 [N], finite.
        deviations: float32 [N]; below 2^-20 they count as that.
        target: how many to merge.
        rules: see there.

    Raises:
        UserError: the weights are not finite float32 [N], or so large that the centres would be too many.
    """
    _check(means, deviations, rules.threshold)
    assignment = np.full(means.size, -1, np.int32)
    merges: list[Merge] = []
    needed = min(target, means.size)
    order, distance, raises_order = 1, rules.distance, True
    free = np.arange(means.size if needed > 0 else 0, dtype=np.uint32)
    small = rules.threshold if rules.zero_fix else 0.0
    while needed > 0:
        centres = centres_of_order(order, float(largest_of(means, free)), rules.threshold)
        cells = positions(centres, rules.threshold)
        packed = np.empty(free.size, np.uint64)
        count = reached(means, deviations, free, centres, cells, rules.threshold, distance, small, packed)
        for position, taken in _popular(packed[:count], centres, needed):
            members = _nearest(taken, means, deviations, centres[position], needed, small)
            assign(assignment, members, len(merges))
            merges.append(Merge(float(centres[position]), order, distance, members.size, spread(means, members)))
            needed -= members.size
        del packed
        free = still_free(free, assignment)
        if order == rules.orders:
            distance *= rules.growth
            if not count:  # turns until a weight is reached would change nothing
                least = nearest(means, deviations, free, centres)
                while distance < least:
                    distance *= rules.growth
        elif raises_order:
            order, raises_order = order + 1, False
        else:
            distance, raises_order = distance * rules.growth, True
    return Merging(tuple(merges), assignment)


def _popular(packed: np.ndarray, centres: np.ndarray, needed: int) -> Iterator[tuple[int, np.ndarray]]:
    """Positions of centres, most popular first, each with the weights that reach it and none before.

    It ends with the one by which ``needed`` weights are reached.
    """
    packed.sort()
    weights, first, last, starts = unpack(packed)
    sizes = np.diff(starts)
    changes = np.zeros(centres.size + 1, np.int64)
    np.add.at(changes, first, sizes)
    np.subtract.at(changes, last + 1, sizes)
    counts = np.cumsum(changes[:-1])
    left = np.ones(first.size, bool)
    preferred = np.lexsort((centres < 0, np.abs(centres)))
    while needed > 0:
        position = preferred[np.argmax(counts[preferred])]
        if not counts[position]:
            return
        taken = take(weights, first, last, starts, left, counts, position)
        needed -= taken.size
        yield position, taken


def _nearest(
    taken: np.ndarray, means: np.ndarray, deviations: np.ndarray, centre: float, needed: int, small: float
) -> np.ndarray:
    """The ``needed`` of the weights ``taken`` that are nearest to ``centre``, of equally near ones the first."""
    if taken.size <= needed:
        return taken
    taken = np.sort(taken)
    values = means[taken].astype(np.float64)
    distance = np.abs(centre - values) / np.maximum(deviations[taken].astype(np.float64), LEAST_DIVISOR)
    if centre == 0:
        distance[np.abs(values) < small] = 0.0
    furthest = np.partition(distance, needed - 1)[needed - 1]
    nearer = distance < furthest
    as_far = np.flatnonzero(distance == furthest)[: needed - np.count_nonzero(nearer)]
    nearer[as_far] = True
    return taken[nearer]


def _check(means: np.ndarray, deviations: np.ndarray, threshold: float) -> None:
    for what, values in (("weights", means), ("deviations", deviations)):
        if values.dtype != np.float32 or values.ndim != 1 or values.shape != means.shape:
            raise UserError(f"{what} must be one vector of float32, but are {values.dtype} {values.shape}")
        if not np.isfinite(values).all():
            raise UserError(f"{what} must be finite, but some are NaN or infinite: lower learning_rate")
    check_reach(float(np.abs(means).max(initial=0.0)), threshold)


def check_reach(largest: float, threshold: float) -> None:
    """Raise :class:`UserError` where a weight of magnitude ``largest`` is too far above ``threshold`` for a centre."""
    most = threshold * 2.0**MOST_OCTAVES
    if largest > most:
        raise UserError(
            f"weights must be at most {most:g}, but one is {largest:g}: raise threshold or scale the network"
        )
