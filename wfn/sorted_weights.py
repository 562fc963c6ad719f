"""The free weights of one sign, sorted once; what has been fixed is cut out of them as intervals."""

from collections.abc import Iterator

import numpy as np


def ceil_float32(values: np.ndarray | float) -> np.ndarray:
    """The smallest float32 that is at least each float64 value: ``w < x`` for float32 ``w`` is ``w < ceil(x)``."""
    values = np.asarray(values, np.float64)
    with np.errstate(over="ignore"):
        nearest = values.astype(np.float32)
    return np.where(nearest < values, np.nextafter(nearest, np.float32(np.inf)), nearest)


def floor_float32(values: np.ndarray | float) -> np.ndarray:
    """The largest float32 that is at most each float64 value: ``w <= x`` for float32 ``w`` is ``w <= floor(x)``."""
    return -ceil_float32(-np.asarray(values))


class SortedWeights:
    """The weights at or above ``threshold``, ascending, with prefix sums of their inverses.

    A *position* counts sorted weights, a *rank* only those still free: ``rank(position)`` weights are free before it.

    Attributes:
        magnitude: float32 [n], ascending.
        origin: uint32 [n], where each stood in the vector given; equal weights keep their order.
    """

    def __init__(self, weights: np.ndarray, threshold: float) -> None:
        # The bits of positive floats rise with their values, so one sort of (bits, index) pairs, packed in 64 bits,
        # is a stable argsort at the speed of a plain sort.
        chosen = np.flatnonzero(weights >= ceil_float32(threshold)).astype(np.uint32)
        pairs = weights[chosen].view(np.uint32).astype(np.uint64)
        pairs <<= np.uint64(32)
        pairs |= chosen
        del chosen
        pairs.sort()
        self.origin = pairs.astype(np.uint32)
        pairs >>= np.uint64(32)
        self.magnitude = pairs.astype(np.uint32).view(np.float32)
        del pairs
        self.inverse_sums = np.empty(self.size + 1)  # [i]: sum of 1/w over the first i, free or not
        self.inverse_sums[0] = 0
        np.divide(1.0, self.magnitude, out=self.inverse_sums[1:], dtype=np.float64)
        np.cumsum(self.inverse_sums, out=self.inverse_sums)
        self._set_free(np.array([0]), np.array([self.size]))

    @property
    def size(self) -> int:
        """How many weights there are, free or not."""
        return self.magnitude.size

    @property
    def largest(self) -> float:
        """The largest magnitude, 0 where there is no weight."""
        return float(self.magnitude[-1]) if self.size else 0.0

    def below(self, values: np.ndarray | float) -> np.ndarray:
        """Positions before which all magnitudes are below each float64 value."""
        return np.searchsorted(self.magnitude, ceil_float32(values), "left")

    def up_to(self, values: np.ndarray | float) -> np.ndarray:
        """Positions before which all magnitudes are at most each float64 value."""
        return np.searchsorted(self.magnitude, floor_float32(values), "right")

    def rank(self, positions: np.ndarray) -> np.ndarray:
        """How many weights are free before each position."""
        segment, inside = self._locate(positions)
        return self._ranks[segment] + inside - self._starts[segment]

    def inverse_sum(self, positions: np.ndarray) -> np.ndarray:
        """Sum of ``1/w`` over the weights that are free before each position."""
        segment, inside = self._locate(positions)
        return self._free_sums[segment] + self.inverse_sums[inside] - self.inverse_sums[self._starts[segment]]

    def values(self, first: int, last: int) -> np.ndarray:
        """Magnitudes, float64, of the free weights of ranks ``first .. last - 1``."""
        pieces = [self.magnitude[start:stop] for _, start, stop in self._pieces(first, last)]
        return np.concatenate(pieces).astype(np.float64) if pieces else np.empty(0)

    def take(self, first: int, last: int) -> list[slice]:
        """Cut the free weights of ranks ``first .. last - 1`` out; return the positions where they stood."""
        pieces = list(self._pieces(first, last))
        if not pieces:
            return []
        (head, begin, _), (tail, _, end) = pieces[0], pieces[-1]
        starts = np.concatenate((self._starts[: head + 1], [end], self._starts[tail + 1 :]))
        stops = np.concatenate((self._stops[:head], [begin], self._stops[tail:]))
        kept = stops > starts
        if not kept.any():
            kept[0] = True  # one empty interval stands for none
        self._set_free(starts[kept], stops[kept])
        return [slice(start, stop) for _, start, stop in pieces]

    def _set_free(self, starts: np.ndarray, stops: np.ndarray) -> None:
        """Let the half-open intervals ``[starts, stops)`` of positions be what is free."""
        self._starts, self._stops = starts, stops
        sums = self.inverse_sums[stops] - self.inverse_sums[starts]
        self._ranks = np.concatenate(([0], np.cumsum(stops - starts)))
        self._free_sums = np.concatenate(([0.0], np.cumsum(sums)))

    def _locate(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The free interval at or before each position, and the position moved into it."""
        segment = np.maximum(np.searchsorted(self._starts, positions, "right") - 1, 0)
        return segment, np.clip(positions, self._starts[segment], self._stops[segment])

    def _pieces(self, first: int, last: int) -> Iterator[tuple[int, int, int]]:
        """Free interval, start and stop of each stretch that ranks ``first .. last - 1`` cover."""
        if first == last:
            return
        head = int(np.searchsorted(self._ranks, first, "right")) - 1
        tail = int(np.searchsorted(self._ranks, last, "left")) - 1
        for segment in range(head, tail + 1):
            offset = self._starts[segment] - self._ranks[segment]
            yield (
                segment,
                int(max(first + offset, self._starts[segment])),
                int(min(last + offset, self._stops[segment])),
            )
