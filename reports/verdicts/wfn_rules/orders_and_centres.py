"""What the shared values are made of, and when they come."""

import re
from collections.abc import Sequence
from dataclasses import replace

from reports.evidence.row import Row, Subject, conditions, runs_of
from reports.evidence.selection import DELTAS, Evidence
from reports.verdicts.judgement import NOT, PARTLY, REPRODUCED, UNDECIDED, Judgement
from reports.verdicts.over_seeds import mean, ratio

ORDER = re.compile(r"weights_order_(\d+)")
LAST_FEW = 3  # iterations that "the last few" of Figure 5's caption may mean
ALIKE = 1.1  # numbers of centres up to this ratio count as alike before those


def shares_up_to_order(row: Row, order: int) -> list[float]:
    """Percent of the weights at zero or at sums of at most so many powers of two, of every run that measured it."""
    shares = []
    for run in row.runs:
        known = run.iterations[-1] if run.iterations else run.metrics  # where an order vanished, its count stays behind
        counts = {int(match[1]): known[key] for key in known if (match := ORDER.fullmatch(key))}
        if total := sum(counts.values()):
            shares.append(100 * sum(count for k, count in counts.items() if k <= order) / total)
    return shares


def mostly_of_order(evidence: Evidence, subject: Subject, order: int, percent: float) -> Judgement | None:
    """More than ``percent`` at the least delta that was run; None where that is above those of the paper's tables."""
    row = next(iter(evidence.weight_fixing(subject)), None)
    share = mean(shares_up_to_order(row, order)) if row and row.delta <= max(DELTAS) else None
    if not share:
        return None
    share = replace(share, low=max(share.low, 0.0), high=min(share.high, 100.0))  # Student's t knows no bounds
    above = share.above(percent)
    verdict = UNDECIDED if above is None else REPRODUCED if above else NOT
    text = f"{share.text('{:.1f}')} % (δ = {row.delta:g}; {subject})"
    return Judgement(text, verdict, (share.n,), row.runs)


def late_centres(evidence: Evidence, subject: Subject) -> Judgement | None:
    """The least delta ends with more centres than the largest, and had as many before the last few iterations.

    None where two deltas were not run, or no iteration comes before the last few.
    """
    found = [row for row in evidence.over_delta(subject) if row.runs[0].iterations]
    if len(found) < 2:
        return None
    small, large = (by_iteration(row, "centres") for row in (found[0], found[-1]))
    ratios = {t: ratio(small[t], large[t]) for t in sorted(small.keys() & large.keys())}
    early = [times for times in list(ratios.values())[:-LAST_FEW] if times]
    last = max(ratios, default=0)
    end = ratios.get(last)
    if not early or not end:
        return None
    most = max(early, key=lambda times: times.value)
    had_more = [times.above(ALIKE) for times in early]
    of_small, of_large = (sum(values[last]) / len(values[last]) for values in (small, large))
    text = (
        f"{of_small:.0f} against {of_large:.0f} centres at the end, {end.text('{:.2f}')} times as many, and at most "
        f"{most.text('{:.2f}')} times as many before the last {LAST_FEW} iterations (δ = {found[0].delta:g} against "
        f"{found[-1].delta:g}; {conditions(found[0])})"
    )
    return Judgement(text, _late(end.above(1), had_more), (end.n,), runs_of([found[0], found[-1]]))


def _late(has_more: bool | None, had_more: Sequence[bool | None]) -> str:
    if has_more is None:
        return UNDECIDED
    return NOT if not has_more else PARTLY if any(more is not False for more in had_more) else REPRODUCED


def by_iteration(row: Row, metric: str) -> dict[int, list[float]]:
    """The metric of each of the row's runs, by iteration."""
    values: dict[int, list[float]] = {}
    for run in row.runs:
        for iteration in run.iterations:
            if metric in iteration:
                values.setdefault(int(iteration["iteration"]), []).append(iteration[metric])
    return dict(sorted(values.items()))


def mean_by_iteration(row: Row, metric: str) -> dict[int, float]:
    """The metric's mean over the row's runs, by iteration."""
    return {number: sum(values) / len(values) for number, values in by_iteration(row, metric).items()}
