"""The rules by which our runs judge the paper's claims, one small function each."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports import printed
from reports.evidence.evidence import Evidence
from reports.evidence.rows import (
    Row,
    Subject,
    conditions,
    runs_of,
    subject_of,
)
from reports.evidence.runs import Run

REPRODUCED, PARTLY, NOT, NOT_TESTED = "reproduced", "partly", "not", "not tested"
LAST_FEW = 3  # iterations that "the last few" of Figure 5's caption may mean
ALIKE = 1.1  # numbers of centres up to this ratio count as alike before those


@dataclass(frozen=True)
class Judgement:
    """What our runs say of a claim on one subject.

    Attributes:
        ours: our figures, with the subject.
        verdict: :data:`REPRODUCED`, :data:`PARTLY` or :data:`NOT`.
        runs: from which the figures are.
    """

    ours: str
    verdict: str
    runs: tuple[Run, ...]


def largest_printed_loss(delta: str) -> float:
    """The most top-1 that any network of Table 1 loses at that delta: what the paper still calls lossless."""
    fixed = [line for line in printed.table1() if line["method"] == "WFN" and line["delta"] == delta]
    losses = [
        float(printed.find(printed.table1(), line["model"], "Baseline")["top1"]) - float(line["top1"]) for line in fixed
    ]
    return round(max(losses), 1)


def lossless(evidence: Evidence, subject: Subject, delta: str) -> Judgement | None:
    """Top-1 does not fall: reproduced; it falls by no more than the paper's own: partly."""
    swept = (row for row in evidence.over_delta(subject) if row.delta == float(delta))
    row = evidence.at(subject, float(delta)) or next(swept, None)
    change = row.change("top1") if row else None
    if change is None:
        return None
    before = row.mean("top1") - change
    ours = f"{before:.2f} → {row.text('top1')} ({signed(change)} points; {conditions(row)})"
    return Judgement(ours, graded(round(change, 9), 0, -largest_printed_loss(delta)), row.runs)


def signed(change: float) -> str:
    """A change with its sign."""
    return f"{change:+.2f}".replace("-", "−")


def graded(value: float, full: float, some: float) -> str:
    """Reproduced from ``full`` on, partly from ``some`` on."""
    return REPRODUCED if value >= full else PARTLY if value >= some else NOT


def times_less(
    evidence: Evidence, subject: Subject, metric: str, form: str, *, full: float, some: float
) -> Judgement | None:
    """How many times less of ``metric`` weight fixing leaves than APoT, graded by ``full`` and ``some``."""
    ours, theirs = evidence.headline(subject), evidence.apot(subject)
    if not ours or not theirs or not ours.mean(metric) or theirs.mean(metric) is None:
        return None
    ratio = theirs.mean(metric) / ours.mean(metric)
    figures = f"{theirs.text(metric, form)} / {ours.text(metric, form)}"
    text = f"{ratio:.2g} times ({figures} at δ = {ours.delta:g}; {subject})"
    return Judgement(text, graded(ratio, full, some), runs_of([ours, theirs]))


def share_up_to_order(row: Row, order: int) -> float | None:
    """Percent of the weights at zero or at sums of at most so many powers of two, None where it was not measured."""
    keys = {key for run in row.runs for key in run.metrics if key.startswith("weights_order_")}
    orders = {int(key.rpartition("_")[2]) for key in keys}
    total = sum(row.mean(f"weights_order_{k}") or 0 for k in orders)
    if not total:
        return None
    return 100 * sum(row.mean(f"weights_order_{k}") or 0 for k in orders if k <= order) / total


def mostly_of_order(evidence: Evidence, subject: Subject, order: int, percent: float) -> Judgement | None:
    """More than ``percent`` at the least delta that was run."""
    row = next(iter(evidence.weight_fixing(subject)), None)
    share = share_up_to_order(row, order) if row else None
    if share is None:
        return None
    text = f"{share:.1f} % (δ = {row.delta:g}; {subject})"
    return Judgement(text, REPRODUCED if share > percent else NOT, row.runs)


def late_centres(evidence: Evidence, subject: Subject) -> Judgement | None:
    """The least delta ends with more centres than the largest, and had as many before the last few iterations."""
    found = [row for row in evidence.over_delta(subject) if row.runs[0].iterations]
    if len(found) < 2:
        return None
    small, large = (mean_by_iteration(row, "centres") for row in (found[0], found[-1]))
    common = sorted(small.keys() & large.keys())
    last = common[-1]
    early = [small[t] / large[t] for t in common[:-LAST_FEW]]
    deltas = f"δ = {found[0].delta:g} against {found[-1].delta:g}"
    text = (
        f"{small[last]:.0f} against {large[last]:.0f} centres at the end, at most {max(early, default=1):.2f} times as "
        f"many before the last {LAST_FEW} iterations ({deltas}; {conditions(found[0])})"
    )
    more, alike = small[last] > large[last], all(ratio <= ALIKE for ratio in early)
    return Judgement(text, REPRODUCED if more and alike else PARTLY if more else NOT, runs_of([found[0], found[-1]]))


def mean_by_iteration(row: Row, metric: str) -> dict[int, float]:
    """The metric's mean over the row's runs, by iteration."""
    values: dict[int, list[float]] = {}
    for run in row.runs:
        for iteration in run.iterations:
            if metric in iteration:
                values.setdefault(int(iteration["iteration"]), []).append(iteration[metric])
    return {number: sum(found) / len(found) for number, found in sorted(values.items())}


def relative_noise(evidence: Evidence) -> list[Judgement]:
    """At every beta less top-1 is lost to relative than to absolute noise: reproduced; at some: partly."""
    found = [_relative_noise(subject, runs) for subject, runs in noise_runs(evidence.runs).items()]
    return [judgement for judgement in found if judgement]


def _relative_noise(subject: Subject, runs: Sequence[Run]) -> Judgement | None:
    losses: dict[float, dict[str, list[float]]] = {}
    for run in runs:
        kinds = losses.setdefault(float(run.params["beta"]), {})
        kinds.setdefault(run.params["noise"], []).append(run.metrics["mean_top1_change"])
    means = {
        beta: {kind: sum(changes) / len(changes) for kind, changes in kinds.items()}
        for beta, kinds in sorted(losses.items())
        if len(kinds) == 2
    }
    if not means:
        return None
    better = [kinds["relative"] > kinds["absolute"] for kinds in means.values()]
    text = "; ".join(
        f"β = {beta:g}: {signed(kinds['relative'])} against {signed(kinds['absolute'])} points"
        for beta, kinds in means.items()
    )
    verdict = REPRODUCED if all(better) else PARTLY if any(better) else NOT
    return Judgement(f"{text} ({subject})", verdict, tuple(runs))


def noise_runs(runs: Sequence[Run]) -> dict[Subject, list[Run]]:
    """The finished trials of the study of noise whose settings are known, by what they were run on."""
    found: dict[Subject, list[Run]] = {}
    for run in runs:
        if run.status == "FINISHED" and "mean_top1_change" in run.metrics and {"noise", "beta"} <= run.params.keys():
            found.setdefault(subject_of(run), []).append(run)
    return found
