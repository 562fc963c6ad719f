"""The rule for "no accuracy is lost", and what it says of our runs."""

from math import ceil, inf

from reports import printed
from reports.evidence.presentation import counted, is_trained_less
from reports.evidence.row import Row, Subject, conditions
from reports.evidence.selection import Evidence
from reports.verdicts.judgement import NOT, REPRODUCED, UNDECIDED, Judgement
from wfn.measures.evaluation.paired import Change, student

MOST_RUNS = 100  # more than anybody would add
MOST_IMAGES = 100  # times the test images: more than any test set of a kind is larger than another


def margin() -> float:
    """Percentage points that may be lost; the paper names none.

    It is the most that a network of the paper's Table 1 loses at the smallest δ, and the same at every δ.
    """
    fixed = [line for line in printed.table1() if line["method"] == "WFN" and line["delta"] == "0.0075"]
    before = [printed.find(printed.table1(), line["model"], "Baseline") for line in fixed]
    losses = [float(one["top1"]) - float(line["top1"]) for one, line in zip(before, fixed, strict=True)]
    return round(max(losses), 1)


def no_loss(change: Change, allowed: float) -> str:
    """The verdict on "no accuracy is lost".

    Reproduced where the whole 95 % interval of the paired change lies above minus ``allowed``; not where all of it lies
    below, so that more than ``allowed`` is lost for certain; else undecided. Each way to be wrong is at most the half
    of 5 % that lies outside the interval on that side. With one run this is a verdict on that run.

    Args:
        change: of top-1, percentage points.
        allowed: percentage points, more than 0.
    """
    if change.low > -allowed:
        return REPRODUCED
    return NOT if change.high < -allowed else UNDECIDED


def would_decide(change: Change, allowed: float) -> str:
    """How many more runs or test images an undecided change would take, if it and its variances stayed as they are."""
    distance = abs(change.points + allowed)
    of_images = student(inf) * change.image_deviation
    if change.run_deviation is not None and of_images < distance:
        for runs in range(change.runs + 1, MOST_RUNS + 1):
            half = (of_images**2 + (student(runs - 1) * change.run_deviation) ** 2 / runs) ** 0.5
            if half < distance:
                return f"about {counted(runs - change.runs, 'more run')} would decide"
        return f"more than {MOST_RUNS} runs would be needed to decide"
    times = (of_images / distance) ** 2 if distance else inf
    if change.run_deviation is None and times <= 1:
        return "a few more runs would decide"
    if times > MOST_IMAGES:
        return f"more than {MOST_IMAGES} times as many test images would be needed to decide"
    alone = " on this run" if change.run_deviation is None else ", more runs alone would not"
    return f"about {_rounded(change.images * times):,} test images would decide{alone}"


def _rounded(number: float) -> int:
    """Two digits of it, rounded up: an estimate knows no more."""
    digits = 10 ** max(len(str(int(number))) - 2, 0)
    return ceil(number / digits) * digits


def lossless(evidence: Evidence, subject: Subject, delta: str) -> Judgement | None:
    """Top-1 is not lost at that delta, by :func:`no_loss`; None where no run has a baseline to be compared with."""
    swept = (row for row in evidence.over_delta(subject) if row.delta == float(delta))
    row = evidence.at(subject, float(delta)) or next(swept, None)
    return _judged(row) if row and row.change("top1") is not None else None


def _judged(row: Row) -> Judgement:
    change = row.paired
    runs = [run for run in row.runs if {"top1", "baseline_top1"} <= run.metrics.keys()]
    before, after = (sum(run.metrics[name] for run in runs) / len(runs) for name in ("baseline_top1", "top1"))
    figures = f"{before:.2f} → {after:.2f} ({{}}; {conditions(row)})"
    if not change:
        text = f"{row.change_text}: the runs do not know which images they have right; run them anew"
        return Judgement(figures.format(text), UNDECIDED, (len(runs),), tuple(runs))
    text = f"{change.tested}, {change.images:,} images"
    verdict = no_loss(change, margin())
    if verdict == UNDECIDED:
        text += f"; {would_decide(change, margin())}"
    elif verdict == NOT and is_trained_less(row.method, row.runs[0].params):
        verdict = UNDECIDED
        text += f"; the training ({row.training}) is less than the paper's, so the loss says nothing against it"
    return Judgement(figures.format(text), verdict, (change.runs,), tuple(runs))
