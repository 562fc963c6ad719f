"""Timing of two things side by side, and what one comparison came to.

The fastest of several runs counts: what else a machine does only ever adds to the time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter


@dataclass(frozen=True)
class Comparison:
    """One row of the table: what was timed, against what, and the limit on their ratio or on the seconds.

    Attributes:
        what: the thing of ours, with its size.
        seconds: time of it; 0 where it is no time.
        against: what stands beside it.
        against_seconds: time of that; None where it stands alone.
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
    """Seconds of ``work``, after one run to warm up."""
    work()
    return min(_timed(work) for _ in range(repeats))


def side_by_side(first: Callable[[], object], second: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Seconds of each, run in turns so that what else the machine does hits both alike."""
    first(), second()
    pairs = [(_timed(first), _timed(second)) for _ in range(repeats)]
    return min(a for a, _ in pairs), min(b for _, b in pairs)


def _timed(work: Callable[[], object]) -> float:
    begin = perf_counter()
    work()
    return perf_counter() - begin
