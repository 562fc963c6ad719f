"""PWFN beside WFN, on DeiT-Tiny, and beside its reconstruction that clusters within one training."""

from collections.abc import Sequence
from math import log2

from reports import printed
from reports.evidence.paired_runs import paired_difference
from reports.evidence.presentation import UNTRAINED
from reports.evidence.readings import Run
from reports.evidence.row import Row, Subject, runs_of
from reports.evidence.selection import Evidence
from reports.verdicts.judgement import NOT, PARTLY, REPRODUCED, UNDECIDED, Judgement
from reports.verdicts.no_loss import margin
from reports.verdicts.over_seeds import Estimate, ratio
from reports.verdicts.pwfn_rules.noisy_rows import COF, LESS, PWFN, row_like, row_of, rows_of, unlike_text
from wfn.measures.evaluation.paired import Change

SECONDS = ("total_training_seconds", "total_clustering_seconds")
AS_MANY = 1.1  # values, up to this ratio, count as many


def pwfn_beats_wfn(evidence: Evidence, subject: Subject) -> Judgement | None:
    """Top-1 of both after, paired, at numbers of values that are within a factor of two.

    More accurate counts where PWFN has as many values or fewer, less accurate where it has as many or more. None where
    no two rows that began with the same float networks are so near.
    """
    ours = row_of(evidence, subject, PWFN)
    near = nearest_in_values(evidence, ours) if ours else None
    change = paired_difference(ours.runs, near.runs) if ours and near else None
    if not ours or not near or not change:
        return None
    times = _ratio_of_values(ours, near)
    is_better, is_worse = change.low > 0 and times <= AS_MANY, change.high < 0 and times >= 1 / AS_MANY
    verdict = REPRODUCED if is_better else NOT if is_worse else UNDECIDED
    values = [row.values_text for row in (ours, near)]
    text = (
        f"{change.tested}, {change.images:,} images; {values[0]} values against {values[1]} of {near.label} ({subject})"
    )
    return Judgement(text, verdict, (change.runs,), runs_of([ours, near]))


def nearest_in_values(evidence: Evidence, ours: Row) -> Row | None:
    """The row of weight fixing from the same float networks, within a factor of two in the number of values.

    Of several one that was trained in the same precision, where there is one; then the nearest of those that have as
    many values or more; only where there is none, the nearest below.
    """
    found = []
    for row in evidence.rows:
        values = ours.mean("unique_params"), row.mean("unique_params")
        if row.subject == ours.subject and row.method == "wfn" and row.networks & ours.networks and all(values):
            distance = abs(log2(_ratio_of_values(ours, row)))
            has_fewer = _ratio_of_values(ours, row) > AS_MANY
            if distance <= 1:
                found.append(
                    (row.precision != ours.precision, has_fewer, distance, len(row.departures), row.label, row)
                )
    return min(found, key=lambda item: item[:5], default=[None])[-1]


def _ratio_of_values(ours: Row, theirs: Row) -> float:
    return ours.mean("unique_params") / theirs.mean("unique_params")


def deit_tiny(evidence: Evidence, subject: Subject) -> Judgement | None:
    """At most the printed values, and so many points over the best other quantiser, of DeiT-Tiny on ImageNet.

    Points are those of the mean weights on the same images, by their 95 % interval. Others are those that were trained,
    from the same float network.
    """
    if "deit_tiny" not in subject.model or subject.dataset != "imagenet":
        return None
    row = row_of(evidence, subject, PWFN)
    values = row.mean("unique_params_conv_linear") if row else None
    if not row or values is None or row.mean("top1") is None:
        return None
    text, figures = f"{values:,.0f} values, top-1 {row.text('top1')}", printed.pwfn()
    others = [other for other in evidence.methods_on(subject) if _is_rival(other, row)]
    best = max(others, key=lambda other: other.mean("top1"), default=None)
    change = paired_difference(row.runs, best.runs) if best else None
    if not best or not change:
        none = "no other quantiser was trained from the same float network on the same images and seeds"
        return Judgement(f"{text}; {none} ({subject})", UNDECIDED, (len(row.runs),), row.runs)
    text += f", {change.text} points over {best.label} with {best.text('top1')}"
    has_few = values <= figures["values_deit_tiny"]
    if change.low <= 0:
        verdict = NOT if change.high < 0 else UNDECIDED
    else:
        verdict = REPRODUCED if has_few and change.low >= figures["points_deit_tiny"] else PARTLY
    return Judgement(f"{text} ({subject})", verdict, (change.runs,), runs_of([row, best]))


def _is_rival(other: Row, row: Row) -> bool:
    is_other = other.compresses and other.method not in (PWFN, COF) and other.training != UNTRAINED
    return is_other and bool(other.networks & row.networks) and other.mean("top1") is not None


def streamlined(evidence: Evidence, subject: Subject) -> Judgement | None:
    """The reconstruction beside PWFN: as accurate, with as many values, in fewer seconds and less clustering?

    Of PWFN's rows that is taken which was treated most alike; undecided where it was not quite. None where no two rows
    that began with the same float networks know their images and their steps.
    """
    pairs = [(row, near) for row in rows_of(evidence, subject, COF)
             if (near := row_like(row, rows_of(evidence, subject, PWFN)))]  # fmt: skip
    ours, theirs = min(pairs, key=lambda pair: bool(unlike_text(*pair)), default=(None, None))
    if not ours or not theirs:
        return None
    change = paired_difference(ours.runs, theirs.runs)
    values, steps = (_ratio(ours, theirs, name) for name in ("unique_params", "training_steps"))
    if not change or not values or not steps:
        return None
    is_of_one_machine = _is_of_one_machine(runs_of([ours, theirs]))
    seconds = _seconds(ours, theirs, *SECONDS) if is_of_one_machine else None
    clustering = _seconds(ours, theirs, SECONDS[1]) if is_of_one_machine else None
    text = f"top-1 {change.text} points; {values.text('{:.2f}')} times the values"
    if seconds and clustering:
        text += f", {seconds.text('{:.2f}')} times the seconds, {clustering.text('{:.2f}')} times those of clustering"
    else:
        text += ", seconds of different machines"
    text += f"; {steps.text('{:.2f}')} times the steps, which were set, not measured"
    verdict, treated = streamlining(change, values, steps, seconds, clustering), unlike_text(ours, theirs)
    return Judgement(f"{text}{treated} ({subject})", UNDECIDED if treated else verdict, (change.runs,),
                     runs_of([ours, theirs]))  # fmt: skip


def _is_of_one_machine(runs: Sequence[Run]) -> bool:
    """Whether seconds can be compared: all runs began and ended on devices of one name, with as many threads."""
    began = {(run.params.get("device_name"), run.params.get("threads")) for run in runs}
    ended = {run.tags.get("device_name", run.params.get("device_name")) for run in runs}
    return len(began) == 1 and None not in (machine := began.pop()) and ended == {machine[0]}


def streamlining(
    change: Change, values: Estimate, steps: Estimate, seconds: Estimate | None, clustering: Estimate | None
) -> str:
    """The verdict.

    Not where accuracy is lost or values are more, for certain; undecided where that is open. Then reproduced where
    seconds are fewer, in all and of clustering alone, and steps are no more; partly where one of the three is fewer;
    not where none is for certain. Fewer is below :data:`LESS` of PWFN's, no more at most one over that.
    """
    worse = change.high < -margin() or values.low > AS_MANY
    alike = change.low > -margin() and values.high <= AS_MANY
    if not alike:
        return NOT if worse else UNDECIDED
    measured = [seconds, clustering]
    if all(each and each.high < LESS for each in measured) and steps.high <= 1 / LESS:
        return REPRODUCED
    if any(each and each.high < LESS for each in (*measured, steps)):
        return PARTLY
    return NOT if all(each and each.low >= LESS for each in (*measured, steps)) else UNDECIDED


def _ratio(ours: Row, theirs: Row, name: str) -> Estimate | None:
    return ratio(ours.values(name), theirs.values(name))


def _seconds(ours: Row, theirs: Row, *names: str) -> Estimate | None:
    """The ratio of the seconds that these add up to."""
    sides = [
        [sum(run.metrics[name] for name in names) for run in row.runs if run.metrics.keys() >= set(names)]
        for row in (ours, theirs)
    ]
    return ratio(*sides)
