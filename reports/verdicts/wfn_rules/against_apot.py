"""How many times less weight fixing leaves than APoT."""

from reports.evidence.row import Subject, runs_of
from reports.evidence.selection import Evidence
from reports.verdicts.judgement import Judgement
from reports.verdicts.over_seeds import graded, ratio


def times_less(
    evidence: Evidence, subject: Subject, metric: str, form: str, *, full: float, some: float
) -> Judgement | None:
    """How many times less of ``metric`` weight fixing leaves than APoT, graded by ``full`` and ``some``.

    None where no two runs of both began with the same float network and measured it, or where either has none of it.
    """
    pair = evidence.beside_apot(subject)
    part = ratio(pair[0].values(metric), pair[1].values(metric), is_known=True) if pair else None
    if not part:
        return None
    times, (ours, theirs) = part.inverse, pair
    figures = f"{theirs.range_text(metric, form)} / {ours.range_text(metric, form)}"
    text = f"{times.text('{:.2g}')} times ({figures} at δ = {ours.delta:g}; {subject})"
    return Judgement(text, graded(times, full, some), (times.n,), runs_of([ours, theirs]))
