"""PWFN beside WFN, on DeiT-Tiny, and beside its reconstruction that clusters within one training."""

from math import log2

from reports import printed
from reports.evidence.paired_runs import paired_difference
from reports.evidence.row import Row, Subject, runs_of
from reports.evidence.selection import Evidence
from reports.verdicts.judgement import NOT, PARTLY, REPRODUCED, UNDECIDED, Judgement
from reports.verdicts.no_loss import margin
from reports.verdicts.over_seeds import Estimate, ratio
from reports.verdicts.pwfn_rules.noisy_rows import COF, PWFN, row_of
from wfn.measures.common.paired import Change

MACHINE = ("device_name", "threads")  # on which seconds can be compared
AS_MANY = 1.1  # values, up to this ratio, count as many


def pwfn_beats_wfn(evidence: Evidence, subject: Subject) -> Judgement | None:
    """Top-1 of both after, paired, at the numbers of values that are nearest and within a factor of two.

    None where no two rows that began with the same float networks are so near.
    """
    ours = row_of(evidence, subject, PWFN)
    near = nearest_in_values(evidence, ours) if ours else None
    change = paired_difference(ours.runs, near.runs) if ours and near else None
    if not ours or not near or not change:
        return None
    verdict = REPRODUCED if change.low > 0 else NOT if change.high < 0 else UNDECIDED
    values = [row.values_text for row in (ours, near)]
    text = (
        f"{change.tested}, {change.images:,} images; {values[0]} values against {values[1]} of {near.label} ({subject})"
    )
    return Judgement(text, verdict, (change.runs,), runs_of([ours, near]))


def nearest_in_values(evidence: Evidence, ours: Row) -> Row | None:
    """The row of weight fixing from the same float networks of the nearest number of values, within a factor of two."""
    found = []
    for row in evidence.rows:
        values = ours.mean("unique_params"), row.mean("unique_params")
        if row.subject == ours.subject and row.method == "wfn" and row.networks & ours.networks and all(values):
            found.append((abs(log2(values[0] / values[1])), len(row.departures), row.label, row))
    distance, *_, row = min(found, key=lambda item: item[:3], default=(2.0, None))
    return row if distance <= 1 else None


def deit_tiny(evidence: Evidence, subject: Subject) -> Judgement | None:
    """At most the printed values, and so many points over the best other quantiser, of DeiT-Tiny on ImageNet."""
    if (
        "deit_tiny" not in subject.model
        or subject.dataset != "imagenet"
        or not (row := row_of(evidence, subject, PWFN))
    ):
        return None
    figures = printed.pwfn()
    values, top1 = row.mean("unique_params_conv_linear"), row.mean("sampled_top1")
    others = [
        (other.mean("top1"), other)
        for other in evidence.rows
        if other.subject == subject and other.compresses and not other.prefix and other.method not in (PWFN, COF)
    ]
    best = max((top for top, _ in others if top is not None), default=None)
    if values is None or top1 is None:
        return None
    few = values <= figures["values_deit_tiny"]
    text = f"{values:,.0f} values, top-1 {top1:.2f}"
    if best is None:
        return Judgement(f"{text}; no other quantiser was run ({subject})", UNDECIDED, (len(row.runs),), row.runs)
    gained = top1 - best >= figures["points_deit_tiny"]
    verdict = REPRODUCED if few and gained else PARTLY if few or top1 > best else NOT
    return Judgement(f"{text} against {best:.2f} of the best other ({subject})", verdict, (len(row.runs),), row.runs)


def streamlined(evidence: Evidence, subject: Subject) -> Judgement | None:
    """The reconstruction beside PWFN: as accurate, with as many values, in fewer steps and seconds?

    None where no two rows that began with the same float networks know their images and their steps.
    """
    ours, theirs = row_of(evidence, subject, COF), row_of(evidence, subject, PWFN)
    if not ours or not theirs or not ours.networks & theirs.networks:
        return None
    change = paired_difference(ours.runs, theirs.runs)
    values, steps = (_ratio(ours, theirs, name) for name in ("unique_params", "training_steps"))
    if not change or not values or not steps:
        return None
    same = {tuple(run.params.get(name) for name in MACHINE) for run in runs_of([ours, theirs])}
    seconds = _seconds(ours, theirs) if len(same) == 1 else None
    text = (
        f"top-1 {change.text} points; {values.text('{:.2f}')} times the values, {steps.text('{:.2f}')} times the steps"
    )
    text += f", {seconds.text('{:.2f}')} times the seconds" if seconds else ", seconds of different machines"
    return Judgement(f"{text} ({subject})", streamlining(change, values, steps, seconds), (change.runs,),
                     runs_of([ours, theirs]))  # fmt: skip


def streamlining(change: Change, values: Estimate, steps: Estimate, seconds: Estimate | None) -> str:
    """The verdict, settled before any run.

    Not where accuracy is lost or values are more, for certain; undecided where that is open. Then reproduced where
    steps are no more and seconds fewer, partly where one of the two is so, else not.
    """
    worse = change.high < -margin() or values.low > AS_MANY
    alike = change.low > -margin() and values.high <= AS_MANY
    if not alike:
        return NOT if worse else UNDECIDED
    is_faster = seconds is not None and seconds.high < 1
    if steps.high <= 1 and is_faster:
        return REPRODUCED
    if steps.high < 1 or is_faster:
        return PARTLY
    return NOT if seconds and seconds.low > 1 and steps.low >= 1 else UNDECIDED


def _ratio(ours: Row, theirs: Row, name: str) -> Estimate | None:
    return ratio(ours.values(name), theirs.values(name))


def _seconds(ours: Row, theirs: Row) -> Estimate | None:
    """The ratio of the seconds of training and clustering together."""
    names = ("total_training_seconds", "total_clustering_seconds")
    sides = [
        [sum(run.metrics[name] for name in names) for run in row.runs if run.metrics.keys() >= set(names)]
        for row in (ours, theirs)
    ]
    return ratio(*sides)
