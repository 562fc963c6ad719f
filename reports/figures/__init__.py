"""The paper's figures from our runs, a file each; one that cannot be drawn says why."""

from reports.document.document import Figure
from reports.evidence.evidence import Evidence


def figures(evidence: Evidence) -> list[Figure]:
    """All five, in the paper's order."""
    from reports.figures import ablation, accuracy_and_size, iterations, noise, unique_values_and_entropy

    parts = (unique_values_and_entropy, noise, accuracy_and_size, ablation, iterations)
    return [part.figure(evidence) for part in parts]
