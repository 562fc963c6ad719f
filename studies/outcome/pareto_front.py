"""Which trials no other beats, and how much they beat between them. Of everything, less is better."""

from collections.abc import Sequence

Losses = tuple[float, ...]


def dominated(loss: Losses, losses: Sequence[Losses]) -> bool:
    """Whether one of ``losses`` is no worse than ``loss`` in anything and better in something."""
    return any(other != loss and all(a <= b for a, b in zip(other, loss, strict=True)) for other in losses)


def hypervolumes(losses: Sequence[Losses]) -> list[float]:
    """After each trial, the share of the box around all of them that is no better than some trial so far, 0 to 1."""
    import numpy as np

    if not losses:
        return []
    points = np.array(losses, dtype=float)
    low, high = points.min(0), points.max(0)
    unit = (points - low) / np.where(high > low, high - low, 1)
    return [_volume(unit[: n + 1]) for n in range(len(unit))]


def _volume(points) -> float:
    """The volume between ``points`` [n, d] and the corner (1, ..., 1), slice by slice along the last axis."""
    if points.shape[1] == 1:
        return float(1 - points.min())
    points = points[points[:, -1].argsort(kind="stable")]
    edges = [*points[1:, -1], 1.0]
    return sum(
        (edge - point[-1]) * _volume(points[: n + 1, :-1])
        for n, (point, edge) in enumerate(zip(points, edges, strict=True))
        if edge > point[-1]
    )
