"""Which values a weight may be fixed to, before they are rounded: the proposals of Eq. 1."""

from math import log, sqrt

import numpy as np

from wfn.errors import UserError

MOST_STEPS = 2e10  # of one clustering: minutes


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


def check_cost(delta: float, threshold: float, largest: float, weights: int) -> None:
    """Raise :class:`UserError` where a clustering would not end within minutes.

    Each fix looks at every centre, and there are at most as many fixes as there are weights, or centres of both signs.

    Args:
        delta, threshold, largest: as in :func:`proposed_centres`.
        weights: how many there are to fix.
    """
    if largest <= threshold:
        return
    span = log(largest / threshold)
    centres = span / (2 * delta)
    if centres * min(weights, 2 * centres) > MOST_STEPS:
        most = max(MOST_STEPS / weights, sqrt(MOST_STEPS / 2))
        raise UserError(
            f"delta={delta:g} makes {centres:,.0f} centres for {weights:,} weights, which would take hours to cluster: "
            f"give {span / (2 * most) * 1.05:.2g} or more"
        )
