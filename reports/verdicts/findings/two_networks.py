"""What differs between the paper's network of Figure 4 and the small one that most runs here are on."""

from collections.abc import Iterator

from reports.evidence.row import Subject
from reports.evidence.selection import Evidence
from reports.verdicts.claims import claims
from reports.verdicts.judgement import Finding, Judgement

SMALL = Subject("resnet20_conv", "cifar10")


def two_networks(evidence: Evidence) -> list[Finding]:
    """Claims that are judged apart on both, one by one; nothing where not both were measured."""
    large = next((subject for subject in evidence.subjects if subject.is_of_figure_4), None)
    if large is None or SMALL not in evidence.subjects:
        return []
    judged = list(_judged_on_both(evidence, large))
    apart = [(text, one, other) for text, one, other in judged if one.verdict != other.verdict]
    told = "; ".join(
        f"“{text}” is {one.verdict} on the first ({one.ours}), {other.verdict} on the second ({other.ours})"
        for text, one, other in apart
    )
    counts = [_weights(evidence, subject) for subject in (large, SMALL)]
    verb = "is" if len(apart) == 1 else "are"
    ratio = f", by {counts[0] / counts[1]:.0f} times fewer weights" if all(counts) else ""
    return [
        Finding(
            f"What holds on {large} and not on {SMALL}, or the other way round.",
            f"The paper's Figure 4 is on the first; the second is smaller{ratio}. A claim that names no network is "
            "judged on the first here, then on the second.",
            f"Of {len(judged)} claims that both allow to be judged, {len(apart)} {verb} judged apart: {told}."
            if apart
            else f"All {len(judged)} claims that both allow to be judged are judged alike."
            if judged
            else "No claim can be judged on both yet.",
            tuple({run.id: run for _, *both in apart for each in both for run in each.runs}.values()),
        )
    ]


def _judged_on_both(evidence: Evidence, large: Subject) -> Iterator[tuple[str, Judgement, Judgement]]:
    """Each claim with its judgements, the large network's first, from the paper's own variant of weight fixing."""
    printed = evidence.of_variant(evidence.variants[0])
    parts = [printed.on(subject) for subject in (large, SMALL)]
    for claim in claims():
        one, other = (claim.verdict(part) for part in parts)
        if one.n and other.n:
            yield claim.text, one, other


def _weights(evidence: Evidence, subject: Subject) -> float:
    """How many weights are counted; 0 where no run says."""
    return next((row.mean("weights") or 0.0 for row in evidence.rows if row.subject == subject), 0.0)
