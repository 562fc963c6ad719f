"""The regulariser of Eq. 4: against the literal centres x weights formula with its gradient by autograd."""

from collections.abc import Iterator, Sequence

import torch

from benchmarks.clustering import RESNET20, THRESHOLD, random_weights
from benchmarks.timing import Comparison, seconds_of
from wfn.regulariser.penalty import Penalty

TEMPERATURE = 0.05


def centres_like_a_codebook(count: int) -> torch.Tensor:
    """float64 [count], distinct, of both signs, spread over the octaves as a codebook is."""
    half = torch.logspace(-7, 1, count // 2, base=2, dtype=torch.float64)
    return torch.cat((-half, half))


def literal(weights: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """The gradient of Eq. 4 by autograd over the whole matrix, float32."""
    weights = weights.clone().requires_grad_()
    distance = (weights[:, None] - centres.float()).abs() / weights[:, None].abs()
    penalty = (distance * torch.softmax(-distance / TEMPERATURE, 1)).sum(1)
    torch.where(weights.abs() >= THRESHOLD, penalty, 0).sum().backward()
    return weights.grad


def against_the_literal(size: int = RESNET20) -> Iterator[Comparison]:
    """A hundred centres on a ResNet-20's weights."""
    weights, centres = torch.from_numpy(random_weights(size)), centres_like_a_codebook(100)
    penalty = Penalty(centres.numpy(), THRESHOLD, TEMPERATURE)
    fast = seconds_of(lambda: penalty.value_and_gradient(weights), 20)
    slow = seconds_of(lambda: literal(weights, centres), 1)
    yield Comparison(f"regulariser, {size:,} weights, 100 centres", fast, "literal Eq. 4", slow, "faster", fast < slow)


def growth(counts: Sequence[int], size: int = RESNET20) -> dict[str, list[tuple[int, float]]]:
    """Name -> (number of centres, seconds)."""
    weights = torch.from_numpy(random_weights(size))
    curves = {"wfn": [], "wfn: building the table": [], "literal": []}
    for count in counts:
        centres = centres_like_a_codebook(count)
        penalty = Penalty(centres.numpy(), THRESHOLD, TEMPERATURE)
        curves["wfn"].append((count, seconds_of(lambda: penalty.value_and_gradient(weights), 10)))  # noqa: B023
        build = seconds_of(lambda: Penalty(centres.numpy(), THRESHOLD, TEMPERATURE), 1)  # noqa: B023
        curves["wfn: building the table"].append((count, build))
        if count <= 200:
            curves["literal"].append((count, seconds_of(lambda: literal(weights, centres), 1)))  # noqa: B023
    return curves
