"""Which values a weight may be fixed to, before they are rounded: the proposals of Eq. 1."""

import numpy as np


def proposed_centres(delta: float, threshold: float, largest: float) -> np.ndarray:
    """Positive proposals, each weight between two of which lies within relative distance ``delta`` of the nearer.

    ``c_0 = threshold`` and ``c_{j+1} = c_j (1 + delta) / (1 - delta)`` while ``c_j <= largest`` (section 3, Eq. 1).
    Their negatives and zero complete the set.

    Args:
        delta: tolerated relative distance, in (0, 1).
        threshold: ``delta_0``, the magnitude below which weights become zero.
        largest: magnitude of the largest weight that is still free.

    Returns:
        float64 [s], ascending; empty where ``largest < threshold``.
    """
    if largest < threshold:
        return np.empty(0)
    growth = (1 + delta) / (1 - delta)
    steps = int(np.log(largest / threshold) / np.log(growth)) + 2  # one to spare for rounding
    centres = threshold * growth ** np.arange(steps)
    return centres[centres <= largest]
