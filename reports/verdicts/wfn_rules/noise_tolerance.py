"""Whether relative noise is better tolerated than absolute noise."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from reports.evidence.readings import Run, newest
from reports.evidence.row import Subject, subject_of
from reports.evidence.selection import Evidence
from reports.verdicts.judgement import NOT, PARTLY, REPRODUCED, UNDECIDED, Judgement
from reports.verdicts.over_seeds import Estimate, mean
from wfn import networks
from wfn.measures.evaluation.paired import signed


def relative_noise(evidence: Evidence) -> list[Judgement]:
    """At every beta less top-1 is lost to relative than to absolute noise: reproduced; at some: partly; at none: not.

    By the 95 % interval, by Student's t, of the differences between trials of one seed of the noise, which gives both
    kinds the same epsilon; undecided where it leaves that open.
    """
    found = [(subject, _relative_noise(subject, runs)) for (subject, _), runs in noise_runs(evidence.runs).items()]
    return [replace(judgement, on=networks.title(subject.model)) for subject, judgement in found if judgement]


def _relative_noise(subject: Subject, runs: Sequence[Run]) -> Judgement | None:
    changes: dict[float, dict[str, dict[str, float]]] = {}
    for run in runs:
        of_kind = changes.setdefault(float(run.params["beta"]), {}).setdefault(run.params["noise"], {})
        of_kind[run.params.get("noise_seed", "")] = run.metrics["mean_top1_change"]
    told, spared = [], []
    for beta, kinds in sorted(changes.items()):
        both = [kinds.get(kind, {}) for kind in ("relative", "absolute")]
        if beta > 0 and (seeds := sorted(both[0].keys() & both[1].keys())):
            relative, absolute = ([of_kind[seed] for seed in seeds] for of_kind in both)
            spared.append(mean([one - other for one, other in zip(relative, absolute, strict=True)]))
            means = f"{signed(fmean(relative))} against {signed(fmean(absolute))} points"
            told.append(f"β = {beta:g}: {means}{_interval(spared[-1])}")
    if not spared:
        return None
    text, n = "; ".join(told), min(estimate.n for estimate in spared)
    return Judgement(f"{text} ({subject})", _verdict([estimate.above(0) for estimate in spared]), (n,), tuple(runs))


def _interval(spared: Estimate) -> str:
    return f", {signed(spared.value)} [{signed(spared.low)}, {signed(spared.high)}]" if spared.low < spared.high else ""


def _verdict(better: Sequence[bool | None]) -> str:
    if all(better):
        return REPRODUCED
    if any(better):
        return PARTLY
    return UNDECIDED if None in better else NOT


OF_A_TRIAL = ("noise", "beta", "noise_seed")


def noise_runs(runs: Sequence[Run]) -> dict[tuple[Subject, str], list[Run]]:
    """The finished trials of the study of noise whose settings are known, by what they were run on.

    That is the subject and the hash of the float network's weights: networks of one name are not mixed. Of a trial that
    was repeated the newest counts.
    """
    found: dict[tuple[Subject, str], list[Run]] = {}
    for run in runs:
        if run.status == "FINISHED" and run.is_of_noise:
            network = subject_of(run), run.params.get("weights_sha256", "")
            found.setdefault(network, []).append(run)
    return {network: newest(trials, OF_A_TRIAL) for network, trials in found.items()}
