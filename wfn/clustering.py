"""Algorithm 1: which free weights go to which centre, on one flat vector.

The free weights of each sign are sorted once by magnitude. Every question of the algorithm is then one about intervals
of a sorted vector: the weights nearest to a centre lie between two midpoints, those within a relative distance of it
between two bounds, and their summed distance ``sum |1 - c/w|`` is a difference of prefix sums of ``1/w``. What has been
fixed is a set of removed intervals. The cost is one sort, plus the number of fixes times (centres + log N).
``tests/oracles.py`` holds the literal version.
"""

from dataclasses import dataclass

import numpy as np

from wfn.centres import FloatArray, proposed_centres, round_to_powers_of_two
from wfn.sorted_weights import SortedWeights, ceil_float32

ROUNDING = 1 + 1e-9  # a mean distance that equals the tolerance but for rounding counts as equal
WIDEST = 1 - 2.0**-40  # just below 1, by more than rounding
FRINGE = 4096  # weights that are sorted by distance one by one rather than narrowed further


@dataclass(frozen=True)
class Fix:
    """One pass of Algorithm 1's outer loop: ``weights`` weights moved to ``centre``.

    ``distance`` is the sum of their relative distances (Eq. 2), ``order`` the omega at which the centre was found.
    """

    centre: float
    order: int
    weights: int
    distance: float


@dataclass(frozen=True)
class Clustering:
    """The fixes in the order in which they were made, and for each weight the index of its fix, or -1.

    ``assignment`` is int32 [N], in the order of the weights given.
    """

    fixes: tuple[Fix, ...]
    assignment: np.ndarray


def cluster(weights: np.ndarray, target: int, delta: float, threshold: float) -> Clustering:
    """Fix at least ``target`` of the free ``weights`` by Algorithm 1 (section 3, "Minimalist Clustering").

    Again and again the modal centre, the one nearest to most free weights, takes the largest set of weights, nearest
    first, whose mean relative distance stays within ``delta`` (Eq. 3). Where it reaches no weight the order omega
    rises; after every fix it starts again at 1. Ties: of equally modal centres the one of least magnitude, then the
    positive one; of equally near centres that of lesser magnitude; of equally near weights those of lesser magnitude
    first, and of equal ones below the centre the later ones first, above it the earlier ones.

    Differs:
        - Weights below ``threshold`` join the zero centre and no other, and it takes only them (Eq. 2 as printed gives
          them distance 0 to every centre, and Eq. 3's mean would let zero take as many others of any size).
        - A weight is a candidate only at a relative distance below 1: at 1 it would vanish or change its sign.
        - Where a higher order no longer changes the centres and still none is near enough, the tolerance of this fix
          doubles, so that the loop ends for every input.

    Args:
        weights: float32 [N], the free weights, finite.
        target: how many to fix at least; the last fix is taken whole.
        delta: ``delta^t``, in (0, 1).
        threshold: ``delta_0`` > 0.
    """
    search = _Search(weights, delta, threshold)
    fixes: list[Fix] = []
    fixed = 0
    while fixed < min(target, weights.size):
        fix = search.next_fix(len(fixes))
        fixes.append(fix)
        fixed += fix.weights
    return Clustering(tuple(fixes), search.assignment)


@dataclass
class _Level:
    """The centres of one order, and where their cells begin and end among the sorted weights of each sign.

    ``unreached`` is the sign (0 positive, 1 negative) and the positions of the modal cell, once its centre was found to
    reach no weight within the tolerance. Counts only ever fall, so until a weight of that very cell is fixed the same
    centre is modal and still reaches none.
    """

    centres: FloatArray  # [k] magnitudes, ascending
    cells: tuple[np.ndarray, np.ndarray]  # int64 [k + 1] positions: positive, negative
    final: bool  # no higher order changes the centres
    unreached: tuple[int, int, int] | None = None


class _Search:
    """The state of one clustering: what is still free, and the levels of centres computed so far."""

    def __init__(self, weights: np.ndarray, delta: float, threshold: float) -> None:
        self.delta, self.threshold = delta, threshold
        self.assignment = np.full(weights.size, -1, np.int32)
        self._weights = weights
        self._signs = (SortedWeights(weights, threshold), SortedWeights(-weights, threshold))
        self._zeros = weights.size - sum(side.size for side in self._signs)
        largest = max(side.largest for side in self._signs)
        self._proposals = proposed_centres(delta, threshold, largest)
        self._levels: dict[int, _Level] = {}

    def next_fix(self, index: int) -> Fix:
        """Make the next fix, mark its weights with ``index`` and return it."""
        tolerance = self.delta * ROUNDING
        order, doubled = 1, False
        while True:
            level = self._level(order)
            if doubled or not level.unreached:
                sign, cell = self._modal(level)
                if cell is None:
                    return self._prune(index, order)
                reached = _reach(self._signs[sign], float(level.centres[cell]), tolerance)
                if reached:
                    return self._take(index, order, sign, float(level.centres[cell]), reached)
                level.unreached = (sign, *level.cells[sign][cell : cell + 2])
            if level.final:
                tolerance, doubled = 2 * tolerance, True
            else:
                order += 1

    def _level(self, order: int) -> _Level:
        if order not in self._levels:
            rounded = round_to_powers_of_two(self._proposals, order, self.delta, self.threshold)
            centres = np.unique(rounded)
            midpoints = (centres[1:] + centres[:-1]) / 2
            cells = tuple(
                np.concatenate(([0], side.up_to(midpoints), [side.size])) if centres.size else np.zeros(1, np.int64)
                for side in self._signs
            )
            final = bool(np.all(np.abs(self._proposals - rounded) < self.delta * self._proposals))
            self._levels[order] = _Level(centres, cells, final)
        return self._levels[order]

    def _modal(self, level: _Level) -> tuple[int, int | None]:
        """The centre nearest to most free weights: its sign (0 positive, 1 negative) and cell; None is zero's."""
        if not level.centres.size:
            return 0, None
        positive, negative = (np.diff(side.rank(cells)) for side, cells in zip(self._signs, level.cells, strict=True))
        nearest = np.maximum(positive, negative)
        cell = int(nearest.argmax())
        if nearest[cell] <= self._zeros:
            return 0, None
        return (0 if positive[cell] >= negative[cell] else 1), cell

    def _take(self, index: int, order: int, sign: int, centre: float, reached: tuple[int, int, float]) -> Fix:
        first, last, distance = reached
        side = self._signs[sign]
        pieces = side.take(first, last)
        for positions in pieces:
            self.assignment[side.origin[positions]] = index
        for level in self._levels.values():
            if level.unreached:
                its_sign, start, stop = level.unreached
                if its_sign == sign and start < pieces[-1].stop and pieces[0].start < stop:
                    level.unreached = None
        return Fix(-centre if sign else centre, order, last - first, distance)

    def _prune(self, index: int, order: int) -> Fix:
        self.assignment[np.abs(self._weights) < ceil_float32(self.threshold)] = index
        pruned, self._zeros = self._zeros, 0
        return Fix(0.0, order, pruned, 0.0)


def _reach(side: SortedWeights, centre: float, tolerance: float) -> tuple[int, int, float] | None:
    """The largest set of free weights, nearest to ``centre`` first, with mean relative distance <= ``tolerance``.

    Returns its first and last rank (half-open) and summed distance, or None where even the nearest is too far.

    The mean rises with the radius, so the radius where it passes the tolerance is bracketed and narrowed with prefix
    sums alone; only the weights of the last bracket are looked at one by one.
    """
    middle = side.up_to(centre)
    middle_rank, middle_sum = side.rank(middle), side.inverse_sum(middle)

    def within(radius):
        """First and last rank within each radius, and the summed distance there."""
        low, high = side.below(centre / (1 + radius)), side.up_to(centre / (1 - radius))
        first, last = side.rank(low), side.rank(high)
        below = centre * (middle_sum - side.inverse_sum(low)) - (middle_rank - first)
        above = (last - middle_rank) - centre * (side.inverse_sum(high) - middle_sum)
        return first, last, below + above

    inner = min(tolerance, WIDEST)  # here every distance, so the mean too, is within the tolerance
    first, last, distance = within(inner)
    if first == last:
        return None
    outer = min(4 * inner, WIDEST)
    widest_first, widest_last, widest_distance = within(outer)
    while widest_distance <= tolerance * (widest_last - widest_first) and outer < WIDEST:
        inner, first, last, distance = outer, widest_first, widest_last, widest_distance
        outer = min(4 * inner, WIDEST)
        widest_first, widest_last, widest_distance = within(outer)
    for _ in range(8):  # each makes the bracket 64 times as narrow
        if (first - widest_first) + (widest_last - last) <= FRINGE:
            break
        radii = np.linspace(inner, outer, 65)
        firsts, lasts, distances = within(radii)
        k = int(np.sum(distances[1:-1] <= tolerance * (lasts - firsts)[1:-1]))
        inner, outer = radii[k], radii[k + 1]
        first, last, distance = firsts[k], lasts[k], distances[k]
        widest_first, widest_last = firsts[k + 1], lasts[k + 1]
    below = side.values(int(widest_first), int(first))[::-1]
    above = side.values(int(last), int(widest_last))
    values = np.concatenate((below, above))
    fringe = np.abs(values - centre) / values
    nearest_first = np.argsort(fringe, kind="stable")
    distances = distance + np.cumsum(fringe[nearest_first])
    sizes = (last - first) + np.arange(1, fringe.size + 1)
    taken = int(np.sum(distances <= tolerance * sizes))
    taken_below = int(np.sum(nearest_first[:taken] < below.size))
    total = float(distances[taken - 1] if taken else distance)
    return int(first) - taken_below, int(last) + taken - taken_below, max(total, 0.0)
