"""Which deviation weights have once they share a value."""

import numpy as np

from wfn.codebooks.probabilistic_clustering.merging import Merging

RULES = ("std_mu", "mean_sigma", "half", "tenth", "unchanged")


def merged_deviations(merging: Merging, deviations: np.ndarray, rule: str) -> np.ndarray:
    """The deviations after a merging; those of weights that are still free stay as they are.

    Args:
        merging: of N weights.
        deviations: float32 [N], before it.
        rule: ``std_mu``, the standard deviation of the means that were merged with it; ``mean_sigma``, the root of the
            mean square of their deviations; ``half`` and ``tenth``, of its own deviation; ``unchanged``.

    Differs: ``mean_sigma`` is the reciprocal of that in the authors' code, surely not meant.

    Returns:
        float32 [N].
    """
    chosen = merging.assignment
    if rule == "std_mu":
        shared = np.array([*(merge.deviation for merge in merging.merges), 0.0], np.float32)[chosen]
    elif rule == "mean_sigma":
        merged = chosen >= 0
        squares = np.bincount(chosen[merged], deviations[merged].astype(np.float64) ** 2, len(merging.merges))
        sizes = np.array([merge.weights for merge in merging.merges])
        shared = np.append(np.sqrt(squares / sizes), 0.0).astype(np.float32)[chosen]
    else:
        shared = deviations * np.float32({"half": 0.5, "tenth": 0.1, "unchanged": 1.0}[rule])
    return np.where(chosen >= 0, shared, deviations)
