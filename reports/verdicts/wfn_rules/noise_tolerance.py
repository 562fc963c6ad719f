"""Whether relative noise is better tolerated than absolute noise."""

from collections.abc import Sequence

from reports.evidence.readings import Run
from reports.evidence.row import Subject, subject_of
from reports.evidence.selection import Evidence
from reports.verdicts.judgement import NOT, PARTLY, REPRODUCED, UNDECIDED, Judgement
from reports.verdicts.over_seeds import Estimate, difference, mean
from wfn.measures.common.paired import signed


def relative_noise(evidence: Evidence) -> list[Judgement]:
    """At every beta less top-1 is lost to relative than to absolute noise: reproduced; at some: partly."""
    found = [_relative_noise(subject, runs) for (subject, _), runs in noise_runs(evidence.runs).items()]
    return [judgement for judgement in found if judgement]


def _relative_noise(subject: Subject, runs: Sequence[Run]) -> Judgement | None:
    changes: dict[float, dict[str, list[float]]] = {}
    for run in runs:
        kinds = changes.setdefault(float(run.params["beta"]), {})
        kinds.setdefault(run.params["noise"], []).append(run.metrics["mean_top1_change"])
    both = {
        beta: kinds for beta, kinds in sorted(changes.items()) if beta > 0 and {"relative", "absolute"} <= kinds.keys()
    }
    if not both:
        return None
    spared = {beta: difference(kinds["relative"], kinds["absolute"]) for beta, kinds in both.items()}
    text = "; ".join(
        f"β = {beta:g}: {signed(mean(kinds['relative']).value)} against {signed(mean(kinds['absolute']).value)} points"
        f"{_interval(spared[beta])}"
        for beta, kinds in both.items()
    )
    n = min(estimate.n for estimate in spared.values())
    return Judgement(f"{text} ({subject})", _verdict([s.above(0) for s in spared.values()]), (n,), tuple(runs))


def _interval(spared: Estimate) -> str:
    return f", {signed(spared.value)} [{signed(spared.low)}, {signed(spared.high)}]" if spared.low < spared.high else ""


def _verdict(better: Sequence[bool | None]) -> str:
    if all(better):
        return REPRODUCED
    if any(better):
        return PARTLY
    return UNDECIDED if None in better else NOT


def noise_runs(runs: Sequence[Run]) -> dict[tuple[Subject, str], list[Run]]:
    """The finished trials of the study of noise whose settings are known, by what they were run on.

    That is the subject and the hash of the float network's weights: networks of one name are not mixed.
    """
    found: dict[tuple[Subject, str], list[Run]] = {}
    for run in runs:
        if run.status == "FINISHED" and "mean_top1_change" in run.metrics and {"noise", "beta"} <= run.params.keys():
            network = subject_of(run), run.params.get("weights_sha256", "")
            found.setdefault(network, []).append(run)
    return found
