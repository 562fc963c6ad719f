"""What a reviewer asks first: does weight fixing beat plain k-means with as many shared values?"""

from collections.abc import Callable

from reports.evidence.paired_runs import over_seeds, paired_difference
from reports.evidence.row import Row, runs_of
from reports.evidence.selection import Evidence
from reports.verdicts.judgement import Finding
from reports.verdicts.over_seeds import ratio

# Metric -> its name in the text, and how a row's is written: of each the less the better.
LESS_IS_BETTER: dict[str, tuple[str, Callable[[Row], str]]] = {
    "unique_params": ("values", lambda row: row.values_text),
    "entropy_bits": ("entropy", lambda row: f"{row.entropy_text} bits"),
    "artefact_bytes": ("file", lambda row: row.file_text),
    "rep_mixed": ("Rep_Mixed", lambda row: row.range_text("rep_mixed", "{:.3f}")),
}
SAME_SIZE = "as many shared values"


def beside_kmeans(evidence: Evidence) -> Finding:
    """On each network the rows of both that have nearest to as many values: who wins what, with intervals."""
    trained = evidence.trained
    pairs = [pair for subject in trained.subjects if (pair := trained.alike_in_size(subject))]
    ours = " ".join(_compared(*pair) for pair in pairs)
    return Finding(
        f"Plain k-means with about {SAME_SIZE} is not in the paper.",
        "Weight sharing over the whole network with the same budget of fine-tuning is the baseline that a reader asks "
        "for first.",
        ours
        or "Not checked here: no finished runs of WFN and of k-means over the whole network, from the same float "
        "network and within a factor of two in their values.",
        runs_of([row for pair in pairs for row in pair]),
    )


def _compared(fixed: Row, shared: Row) -> str:
    wins: dict[str, list[str]] = {}
    for winner, text in [_accuracy(fixed, shared), *_sizes(fixed, shared)]:
        wins.setdefault(winner, []).append(text)
    told = "; ".join(f"{winner}: {', '.join(texts)}" for winner, texts in wins.items())
    n = f"n = {len(fixed.runs)} and {len(shared.runs)}"
    several = max(len(fixed.runs), len(shared.runs)) > 1
    intervals = "intervals of 95 %" + ("" if several else ", of sizes none: these two runs are compared")
    return f"{fixed.subject}, {fixed.label} beside {shared.label} ({n}; {intervals}): {told}."


def _accuracy(fixed: Row, shared: Row) -> tuple[str, str]:
    figures = f"top-1 {fixed.text('top1')} against {shared.text('top1')}"
    change = paired_difference(fixed.runs, shared.runs)
    if not change:
        return "undecided", f"{figures} (not paired)"
    winner = "WFN wins" if change.low > 0 else "k-means wins" if change.high < 0 else "undecided"
    return winner, f"{figures} ({change.tested} on {over_seeds(change)})"


def _sizes(fixed: Row, shared: Row) -> list[tuple[str, str]]:
    found = []
    for metric, (name, written) in LESS_IS_BETTER.items():
        part = ratio(fixed.values(metric), shared.values(metric))
        if not part:
            continue
        figures = f"{name} {written(fixed)} against {written(shared)}"
        if metric == "artefact_bytes" and fixed.tells_its_format != shared.tells_its_format:
            found.append(("undecided", f"{figures} (not of one version of the format)"))
            continue
        winner = "WFN wins" if part.high < 1 else "k-means wins" if part.low > 1 else "undecided"
        found.append((winner, f"{figures} ({part.text('{:.2f}')} times)"))
    return found
