"""The shared values that fixed weights take, and which weight takes which."""

from dataclasses import dataclass, field

import numpy as np

from wfn.codebooks.powers_of_two import powers_of_two
from wfn.errors import UserError


@dataclass
class Codebook:
    """The centres chosen so far and, for every fixable weight, which of them it is fixed to.

    Attributes:
        assignment: int32 [n], index into ``centres``; -1 is free.
        centres: distinct float32 values, in the order in which they came into use.
    """

    assignment: np.ndarray
    centres: list[float] = field(default_factory=list)

    @classmethod
    def empty(cls, size: int) -> "Codebook":
        """Nothing fixed yet among ``size`` weights."""
        return cls(np.full(size, -1, np.int32))

    @classmethod
    def restored(cls, assignment: np.ndarray, centres: list[float], values: np.ndarray) -> "Codebook":
        """One that was kept, for weights that have these ``values``, float32 [n].

        Raises:
            ValueError: a weight is fixed to a centre that is not there, or has another value; a centre repeats.
        """
        if assignment.size and not -1 <= assignment.min() <= assignment.max() < len(centres):
            raise ValueError(f"weights are fixed to centres {assignment.min()} to {assignment.max()} of {len(centres)}")
        if len(set(centres)) != len(centres):
            raise ValueError("a centre of the codebook repeats")
        codebook = cls(assignment, centres)
        if others := codebook._others(values):
            raise ValueError(f"{others} fixed weights have another value than their centre")
        return codebook

    @property
    def free(self) -> np.ndarray:
        """bool [n], True for weights that are not fixed."""
        return self.assignment < 0

    @property
    def fixed(self) -> int:
        """How many weights are fixed."""
        return int(np.count_nonzero(self.assignment >= 0))

    def fix(self, centres: list[float], assignment: np.ndarray) -> None:
        """Fix free weights: ``assignment`` (int32, one for each free weight) points into ``centres``; -1 stays free."""
        known = {centre: index for index, centre in enumerate(self.centres)}
        for centre in centres:
            known.setdefault(float(np.float32(centre)), len(known))
        self.centres = list(known)
        index = np.array([known[float(np.float32(centre))] for centre in centres] + [-1], np.int32)
        self.assignment[self.free] = index[assignment]

    def moved(self, centres: np.ndarray) -> "Codebook":
        """The same weights, each on the centre that stands in ``centres``, float32 [k], where its own did.

        Of equal ones one is left.
        """
        distinct, merged = np.unique(centres, return_inverse=True)
        assignment = np.append(merged, -1).astype(np.int32)[self.assignment]
        return Codebook(assignment, distinct.tolist())

    def values(self) -> np.ndarray:
        """float32 [n], every fixed weight's centre; 0 where a weight is free."""
        table = np.array([*self.centres, 0.0], np.float32)
        return table[self.assignment]

    def check_kept(self, values: np.ndarray) -> None:
        """Raise :class:`UserError` unless every fixed weight has its centre's value in the network: float32 [n]."""
        if moved := self._others(values):
            raise UserError(f"{moved} fixed weights moved: the network must not change its own parameters")

    def _others(self, values: np.ndarray) -> int:
        """How many fixed weights have another value than their centre."""
        return int(np.count_nonzero(~self.free & (self.values() != values)))

    def weights_per_order(self) -> dict[int, int]:
        """Order -> how many weights are fixed to sums of so many powers of two; order 0 is the value zero."""
        counts = np.bincount(self.assignment[~self.free], minlength=len(self.centres))
        orders: dict[int, int] = {}
        for centre, weights in zip(self.centres, counts, strict=True):
            order = powers_of_two(centre)
            orders[order] = orders.get(order, 0) + int(weights)
        return dict(sorted(orders.items()))

    def scores_of_orders(self) -> dict[str, float]:
        """:meth:`weights_per_order` by the names under which it is tracked."""
        return {f"weights_order_{order}": weights for order, weights in self.weights_per_order().items()}
