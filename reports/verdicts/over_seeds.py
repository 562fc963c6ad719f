"""Means, ratios and differences over runs that differ in their seed only, with 95 % intervals by Student's t."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, isclose, log
from statistics import fmean, variance

from reports.verdicts.judgement import NOT, PARTLY, REPRODUCED, UNDECIDED
from wfn.measures.evaluation.paired import student


@dataclass(frozen=True)
class Estimate:
    """A figure over runs.

    Attributes:
        value: the estimate.
        n: how many runs it rests on: of two sides those of the smaller.
        low: lower end of its 95 % interval, ``value`` where no side has two.
        high: upper end.
    """

    value: float
    n: int
    low: float
    high: float

    def text(self, form: str) -> str:
        """The value, and its interval where more than one run gives one."""
        interval = f" [{form.format(self.low)}, {form.format(self.high)}]" if self.n > 1 or self.low < self.high else ""
        return form.format(self.value) + interval

    @property
    def inverse(self) -> "Estimate":
        """That of one over it."""
        return Estimate(1 / self.value, self.n, 1 / self.high, 1 / self.low)

    def above(self, bound: float) -> bool | None:
        """Whether it exceeds ``bound``: None where the interval leaves that open."""
        inverse = Estimate(-self.value, self.n, -self.high, -self.low).at_least(-bound)
        return None if inverse is None else not inverse

    def at_least(self, bound: float) -> bool | None:
        """Whether it reaches ``bound``: None where the interval leaves that open."""
        if self.low >= bound or isclose(self.low, bound):  # a logarithm and back is not exact
            return True
        return False if self.high < bound and not isclose(self.high, bound) else None


def mean(values: Sequence[float]) -> Estimate | None:
    """The mean; None of no values."""
    return difference(values, [0.0], is_known=True)


def difference(ours: Sequence[float], theirs: Sequence[float], is_known: bool = False) -> Estimate | None:
    """The mean of ``ours`` less that of ``theirs``, by Welch's t; None where one side has no values.

    A side of one value is taken to vary as the other does.

    Args:
        ours: a value of each run.
        theirs: the same of what they are compared with.
        is_known: whether ``theirs``, where it is one value, is so exactly, such as that of a network that others have
            released.
    """
    if not ours or not theirs:
        return None
    value = fmean(ours) - fmean(theirs)
    is_known &= len(theirs) == 1
    sides = [ours] if is_known else [ours, theirs]
    n = min(map(len, sides))
    varied = [side for side in sides if len(side) > 1]
    if not varied:
        return Estimate(value, n, value, value)
    if len(varied) == len(sides):
        parts = [(variance(side) / len(side), len(side) - 1) for side in sides]
        total = sum(part for part, _ in parts)
        freedom = total**2 / sum(part**2 / free for part, free in parts) if total else 1
    else:
        total, freedom = variance(varied[0]) * (1 + 1 / len(varied[0])), len(varied[0]) - 1
    half = student(freedom) * total**0.5
    return Estimate(value, n, value - half, value + half)


def ratio(ours: Sequence[float], theirs: Sequence[float], is_known: bool = False) -> Estimate | None:
    """The geometric mean of ``ours`` over that of ``theirs``, by :func:`difference` of the logarithms.

    None where a side has no values, or one that is not above zero.
    """
    if not ours or not theirs or min(*ours, *theirs) <= 0:
        return None
    logs = difference([log(value) for value in ours], [log(value) for value in theirs], is_known)
    return Estimate(exp(logs.value), logs.n, exp(logs.low), exp(logs.high))


def graded(estimate: Estimate, full: float, some: float) -> str:
    """The best verdict that holds for the whole interval: "reproduced" from ``full`` on, "partly" from ``some`` on.

    Undecided where the interval leaves open whether even ``some`` is reached.
    """
    if estimate.at_least(full):
        return REPRODUCED
    reaches = estimate.at_least(some)
    return PARTLY if reaches else NOT if reaches is False else UNDECIDED
