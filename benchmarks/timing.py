"""Timing of two things side by side, and what one comparison came to."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter


@dataclass(frozen=True)
class Comparison:
    """One row of the table: what was timed, against what, and the limit on their ratio or on the seconds.

    Attributes:
        what: the thing of ours, with its size.
        seconds: median time of it.
        against: what stands beside it.
        against_seconds: median time of that; None where it stands alone.
        limit: in words.
        met: whether the limit holds.
    """

    what: str
    seconds: float
    against: str
    against_seconds: float | None
    limit: str
    met: bool


def seconds_of(work: Callable[[], object], repeats: int = 5) -> float:
    """Median seconds of ``work``, after one run to warm up."""
    work()
    return median(_timed(work) for _ in range(repeats))


def side_by_side(first: Callable[[], object], second: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median seconds of each, run in turns so that what else the machine does hits both alike."""
    first(), second()
    pairs = [(_timed(first), _timed(second)) for _ in range(repeats)]
    return median(a for a, _ in pairs), median(b for _, b in pairs)


def _timed(work: Callable[[], object]) -> float:
    begin = perf_counter()
    work()
    return perf_counter() - begin
