"""Timing of two things side by side, and what one comparison came to.

The fastest of several runs counts: what else a machine does only ever adds to the time. Where a few percent matter
that is not enough, for a shared machine's speed itself drifts by more within a minute: there, runs that follow each
other are compared pair by pair, and the median pair counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time

_clock = perf_counter


def count_cpu_seconds() -> None:
    """From now on time in seconds that this process computes, on all its threads: others on the machine then matter
    less than by the clock on the wall."""
    global _clock  # noqa: PLW0603 - one clock for all that a command times
    _clock = process_time


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
        pairs_ratio: the median ratio of two runs that followed each other; None where the ratio is that of the seconds.
    """

    what: str
    seconds: float
    against: str
    against_seconds: float | None
    limit: str
    met: bool
    pairs_ratio: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as long as what it is compared with."""
        if self.pairs_ratio is None and self.against_seconds:
            return self.seconds / self.against_seconds
        return self.pairs_ratio


def now() -> float:
    """Seconds by the clock that everything here is timed by; only differences mean anything."""
    return _clock()


def timed(work: Callable[[], object]) -> float:
    """Seconds of a single run: for what takes a minute."""
    begin = now()
    work()
    return now() - begin


def seconds_of(work: Callable[[], object], repeats: int = 5) -> float:
    """Seconds of ``work``, after one run to warm up."""
    work()
    return min(timed(work) for _ in range(repeats))


def side_by_side(first: Callable[[], object], second: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Seconds of each, run in turns so that what else the machine does hits both alike."""
    pairs = in_turns(first, second, repeats)
    return min(a for a, _ in pairs), min(b for _, b in pairs)


def in_turns(first: Callable[[], object], second: Callable[[], object], repeats: int) -> list[tuple[float, float]]:
    """Seconds of each run of both, after one of each to warm up."""
    first(), second()
    return [(timed(first), timed(second)) for _ in range(repeats)]


def of_pairs(pairs: list[tuple[float, float]]) -> tuple[float, float, float]:
    """The median seconds of each, and the median ratio of a pair."""
    firsts, seconds = zip(*pairs, strict=True)
    return median(firsts), median(seconds), median(a / b for a, b in pairs)
