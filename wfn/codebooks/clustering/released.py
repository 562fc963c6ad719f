"""The clustering behind the published numbers: what the authors' released code does where the paper says otherwise.

Source: the code released with the paper (github.com/subiawaud/Weight_Fix_Networks, ``Cluster_Determination``), read and
written anew. Against Algorithm 1 as printed (:mod:`wfn.codebooks.clustering.algorithm`):

- omega never falls back to 1 within a clustering; beyond the 21st the tolerance of a fix doubles with each further one;
- weights that lie on the centre are left out of the running mean's denominator where there are two or more of them;
- the last fix is cut off at the target;
- a weight below ``threshold`` has distance 0 to zero and its relative distance to every other centre, and zero's cell
  ends halfway to the least proposal;
- a further term below the smallest exponent is not left out but raised to it;
- a weight may be fixed across zero, at a relative distance above 1, where the mean allows it;
- of equally modal centres the most negative one counts, of equally near ones the more negative.

Differs: all in float64, where that code has float32; of equally near weights the earlier ones come first, where its
sort leaves their order open.
"""

import numpy as np

from wfn.codebooks.clustering.algorithm import Clustering, Fix, check_weights
from wfn.codebooks.clustering.proposals import proposed_centres

LAST_ORDER = 21  # the tolerance doubles beyond it
WIDER = 4.0  # by how much the candidates' range grows where all of them fit


def cluster_as_released(weights: np.ndarray, target: int, delta: float, threshold: float) -> Clustering:
    """Fix ``target`` of ``weights`` as the released code does; arguments and errors are those of ``cluster``.

    The free weights stand sorted, so that how many are nearest to each centre is a difference of positions; of the
    distances to the modal centre only those are sorted that the tolerance may reach.
    """
    check_weights(weights)
    origin = np.argsort(weights, kind="stable")
    free = weights[origin].astype(np.float64)
    assignment = np.full(len(weights), -1, np.int32)
    fixes: list[Fix] = []
    order, tolerance, left = 1, delta, min(target, len(weights))
    while left:
        centres = released_centres(delta, threshold, float(np.abs(free[[0, -1]]).max()), order)
        bounds = np.searchsorted(free, (centres[1:] + centres[:-1]) / 2, "right")
        nearest = np.diff(np.concatenate(([0], bounds, [free.size])))
        centre = float(centres[nearest.argmax()])
        distances = released_distances(free, centre, threshold)
        taken = _within_mean(distances, origin, tolerance)[:left]
        if not taken.size:
            order += 1
            tolerance = 2 * tolerance if order > LAST_ORDER else delta
            continue
        assignment[origin[taken]] = len(fixes)
        fixes.append(Fix(centre, order, taken.size, float(distances[taken].sum())))
        kept = np.ones(free.size, bool)
        kept[taken] = False
        free, origin, left, tolerance = free[kept], origin[kept], left - taken.size, delta
    return Clustering(tuple(fixes), assignment)


def released_centres(delta: float, threshold: float, largest: float, order: int) -> np.ndarray:
    """The centres that weights up to ``largest`` may be fixed to, zero among them: float64 [k], ascending."""
    proposals = proposed_centres(delta, threshold, np.nextafter(largest, 0))  # strictly below the largest weight
    smallest = np.log2(threshold) - order
    total = np.exp2(np.maximum(smallest, np.round(np.log2(proposals))))
    for _ in range(order - 1):
        residual = proposals - total
        wanted = (np.abs(residual) >= delta * proposals) & (residual != 0)
        exponent = np.round(np.log2(np.abs(residual), out=np.zeros_like(residual), where=wanted))
        total += np.where(wanted, np.copysign(np.exp2(np.maximum(smallest, exponent)), residual), 0.0)
    return np.unique(np.concatenate((-total, [0.0], total)))


def released_distances(weights: np.ndarray, centre: float, threshold: float) -> np.ndarray:
    """The relative distance of each weight to one centre, float64 [n]; a zero weight is infinitely far from others."""
    magnitudes = np.abs(weights)
    if not centre:
        return np.where(magnitudes < threshold, 0.0, 1.0)
    with np.errstate(divide="ignore"):
        return np.abs(weights - centre) / magnitudes


def _within_mean(distances: np.ndarray, origin: np.ndarray, tolerance: float) -> np.ndarray:
    """Positions of the most weights, nearest first, whose running mean stays within the tolerance."""
    reach = WIDER * tolerance
    while True:
        candidates = np.flatnonzero(distances <= reach)
        candidates = candidates[np.lexsort((origin[candidates], distances[candidates]))]
        total = np.cumsum(distances[candidates])
        exact = int(np.count_nonzero(distances[candidates] == 0))
        counted = np.arange(1, candidates.size + 1) - (exact if exact > 1 else 0)
        fits = np.flatnonzero(total <= tolerance * np.maximum(counted, 1))
        taken = int(fits[-1]) + 1 if fits.size else 0
        if taken < candidates.size or candidates.size == distances.size or np.isinf(reach):
            return candidates[:taken]
        reach *= WIDER
