"""The weights of one sign, sorted once; what has been fixed is cut out of them as intervals."""

from typing import TYPE_CHECKING

import numpy as np

from wfn.codebooks.clustering import compiled as kernel
from wfn.system.float32 import ceil_float32, floor_float32

if TYPE_CHECKING:
    from torch import Tensor


class SortedWeights:
    """The weights at or above ``threshold``, ascending, with sums of their inverses.

    A *position* counts sorted weights, a *rank* only those still free.

    Attributes:
        origin: uint32 [n], where each stood in the vector given; equal weights keep their order.
        free: which of them are free.
    """

    def __init__(self, weights: "np.ndarray | Tensor", threshold: float) -> None:
        in_numpy = isinstance(weights, np.ndarray)
        magnitude, self.origin = _sort(weights, threshold) if in_numpy else _sort_there(weights, threshold)
        inverse_sums = np.zeros(magnitude.size + 1)
        np.divide(1.0, magnitude, out=inverse_sums[:-1], dtype=np.float64)
        np.cumsum(inverse_sums[::-1], out=inverse_sums[::-1])
        self.free = kernel.with_intervals(magnitude, inverse_sums, np.array([0]), np.array([magnitude.size]))

    @property
    def size(self) -> int:
        """How many weights there are, free or not."""
        return self.origin.size

    @property
    def largest(self) -> float:
        """The largest magnitude, 0 where there is no weight."""
        return float(self.free.magnitude[-1]) if self.size else 0.0

    def up_to(self, values: np.ndarray) -> np.ndarray:
        """Positions before which all magnitudes are at most each float64 value."""
        return np.searchsorted(self.free.magnitude, floor_float32(values), "right")

    def count(self, cells: np.ndarray) -> np.ndarray:
        """How many weights are free between each two neighbours of ``cells``, ascending positions."""
        return kernel.count(self.free, cells)

    def reach(self, centre: float, tolerance: float) -> tuple[int, int, float]:
        """First and last rank and summed distance of :func:`wfn.codebooks.clustering.compiled.reach`."""
        return kernel.reach(self.free, centre, tolerance)

    def take(self, first: int, last: int) -> list[slice]:
        """Cut the free weights of ranks ``first .. last - 1`` out; return the positions where they stood."""
        starts, stops, self.free = kernel.cut(self.free, first, last)
        return [slice(start, stop) for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]


def _sort(weights: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes, float32 [n], ascending, and where each stood, uint32 [n]."""
    # The bits of positive floats rise with their values, so one sort of (bits, index) pairs, packed in 64 bits, is a
    # stable argsort at the speed of a plain sort.
    chosen = np.flatnonzero(weights >= ceil_float32(threshold)).astype(np.uint32)
    pairs = weights[chosen].view(np.uint32).astype(np.uint64)
    pairs <<= np.uint64(32)
    pairs |= chosen
    del chosen
    pairs.sort()
    origin = pairs.astype(np.uint32)
    pairs >>= np.uint64(32)
    return pairs.astype(np.uint32).view(np.float32), origin


def _sort_there(weights: "Tensor", threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The same where the weights live; eight bytes a weight cross to the host."""
    chosen = (weights >= float(ceil_float32(threshold))).nonzero().flatten()
    magnitude, order = weights[chosen].sort(stable=True)
    return magnitude.cpu().numpy(), chosen[order].int().cpu().numpy().view(np.uint32)
