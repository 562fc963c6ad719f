"""Algorithm 1: which free weights go to which centre, on one flat vector.

The free weights of each sign are sorted once by magnitude. Every question of the algorithm is then one about intervals
of a sorted vector: the weights nearest to a centre lie between two midpoints, those within a relative distance of it
between two bounds, and their summed distance ``sum |1 - c/w|`` is a difference of running sums of ``1/w``. What has
been fixed is a set of removed intervals. The cost is one sort, plus the number of fixes times (centres + log N).
:mod:`wfn.codebooks.clustering.literal` holds the literal version.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wfn.codebooks.clustering.proposals import proposed_centres
from wfn.codebooks.clustering.sorted_weights import SortedWeights
from wfn.codebooks.powers_of_two import round_to_powers_of_two
from wfn.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


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


def cluster(weights: "np.ndarray | Tensor", target: int, delta: float, threshold: float) -> Clustering:
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
        weights: float32 [N], the free weights, finite. A tensor is sorted on its own device; the rest is done here.
        target: how many to fix at least; the last fix is taken whole.
        delta: ``delta^t``, in (0, 1).
        threshold: ``delta_0`` > 0.

    Raises:
        UserError: the weights are not float32 [N], or one is NaN or infinite.
    """
    check_weights(weights)
    search = _Search(weights, delta, threshold)
    fixes: list[Fix] = []
    fixed = 0
    while fixed < min(target, len(weights)):
        fix = search.next_fix(len(fixes))
        fixes.append(fix)
        fixed += fix.weights
    return Clustering(tuple(fixes), search.assignment)


def check_weights(weights: "np.ndarray | Tensor") -> None:
    """Raise :class:`UserError` unless ``weights`` are one vector of finite float32."""
    if weights.ndim != 1 or str(weights.dtype).removeprefix("torch.") != "float32":
        raise UserError(f"weights must be one vector of float32, but are {weights.dtype} {tuple(weights.shape)}")
    finite = np.isfinite(weights) if isinstance(weights, np.ndarray) else weights.isfinite()
    if not finite.all():
        raise UserError("weights must be finite, but some are NaN or infinite: lower learning_rate or alpha")


@dataclass
class _Level:
    """The centres of one order, and where their cells begin and end among the sorted weights of each sign.

    ``unreached`` is the sign (0 positive, 1 negative) and the positions of the modal cell, once its centre was found to
    reach no weight within the tolerance. Counts only ever fall, so until a weight of that very cell is fixed the same
    centre is modal and still reaches none.
    """

    centres: np.ndarray  # [k] magnitudes, ascending
    cells: tuple[np.ndarray, ...]  # int64 [k + 1] positions: positive, negative
    final: bool  # no higher order changes the centres
    unreached: tuple[int, int, int] | None = None


class _Search:
    """The state of one clustering: what is still free, and the levels of centres computed so far."""

    def __init__(self, weights: "np.ndarray | Tensor", delta: float, threshold: float) -> None:
        self.delta, self.threshold = delta, threshold
        self.assignment = np.full(len(weights), -1, np.int32)
        self._signs = (SortedWeights(weights, threshold), SortedWeights(-weights, threshold))
        self._zeros = len(weights) - sum(side.size for side in self._signs)
        largest = max(side.largest for side in self._signs)
        self._proposals = proposed_centres(delta, threshold, largest)
        self._levels: dict[int, _Level] = {}

    def next_fix(self, index: int) -> Fix:
        """Make the next fix, mark its weights with ``index`` and return it."""
        tolerance, order, doubled = self.delta, 1, False
        while True:
            level = self._level(order)
            if doubled or not level.unreached:
                sign, cell = self._modal(level)
                if cell is None:
                    return self._prune(index, order)
                centre = float(level.centres[cell])
                first, last, distance = self._signs[sign].reach(centre, tolerance)
                if first < last:
                    self._take(index, sign, first, last)
                    return Fix(-centre if sign else centre, order, last - first, distance)
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
        positive, negative = (side.count(cells) for side, cells in zip(self._signs, level.cells, strict=True))
        nearest = np.maximum(positive, negative)
        cell = int(nearest.argmax())
        if nearest[cell] <= self._zeros:
            return 0, None
        return (0 if positive[cell] >= negative[cell] else 1), cell

    def _take(self, index: int, sign: int, first: int, last: int) -> None:
        side = self._signs[sign]
        pieces = side.take(first, last)
        for positions in pieces:
            self.assignment[side.origin[positions]] = index
        for level in self._levels.values():
            if level.unreached:
                its_sign, start, stop = level.unreached
                if its_sign == sign and start < pieces[-1].stop and pieces[0].start < stop:
                    level.unreached = None

    def _prune(self, index: int, order: int) -> Fix:
        small = np.ones(self.assignment.size, bool)
        for side in self._signs:
            small[side.origin] = False
        self.assignment[small] = index
        pruned, self._zeros = self._zeros, 0
        return Fix(0.0, order, pruned, 0.0)
