"""What methods share whose weights carry noise: their settings checked, and handed on."""

from math import inf, log2
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from wfn.codebooks.codebook import Codebook
from wfn.codebooks.probabilistic_clustering.merging import Rules
from wfn.errors import require
from wfn.training.flat_weights import FlatWeights
from wfn.training.stages import StagedMethod, check_stage_settings
from wfn.training.updates.sampled_weights import StepRules
from wfn.training.weight_noise import scaled_regularisation, start_deviations


class NoisyMethod(StagedMethod, Protocol):
    """The settings that methods with noise have in common; what each is, their docstrings say."""

    momentum: float
    weight_decay: float
    clip_norm: float
    regularisation: float
    scale_regularisation: bool
    largest_deviation: float
    prior: bool
    prior_scale: float
    deviation: float
    noise: bool
    threshold: float
    zero_fix: bool
    orders: int
    distance: float
    growth: float
    samples: int


def check_noise_settings(method: NoisyMethod) -> None:
    """Raise :class:`UserError` for a setting, of those that methods with noise share, that cannot work."""

    def check(name: str, expected: str, holds) -> None:
        require(name, getattr(method, name), holds(getattr(method, name)), expected)

    check_stage_settings(method)
    for name in ("weight_decay", "regularisation"):
        check(name, "0 or more", lambda value: 0 <= value < inf)
    for name in ("clip_norm", "largest_deviation", "prior_scale", "deviation", "distance"):
        check(name, "above 0", lambda value: 0 < value < inf)
    check("momentum", "from 0 to below 1", lambda value: 0 <= value < 1)
    check("growth", "above 1", lambda value: 1 < value < inf)
    check("orders", "from 1 to 4", lambda value: 1 <= value <= 4)
    check("samples", "1 or more", lambda value: value >= 1)
    check("threshold", "a power of two from 2^-20 to 1", lambda value: 2.0**-20 <= value <= 1 and log2(value) % 1 == 0)


def starting_deviations(method: NoisyMethod, weights: FlatWeights) -> Tensor:
    """float32 [f], by the prior or all alike."""
    if method.prior:
        return start_deviations(weights, method.prior_scale, method.largest_deviation)
    return torch.full((weights.fixable,), method.deviation, device=weights.values.device)


def used_regularisation(method: NoisyMethod, steps: int) -> float:
    """lambda for a run of so many steps."""
    return scaled_regularisation(method.regularisation, steps) if method.scale_regularisation else method.regularisation


def step_rules(method: NoisyMethod, regularisation: float) -> StepRules:
    """How weights and deviations move under the settings of ``method``."""
    rates = method.learning_rate, method.momentum, method.weight_decay, method.clip_norm
    return StepRules(*rates, regularisation, method.largest_deviation, method.noise)


def clustering_rules(method: NoisyMethod) -> Rules:
    """By which weights are merged under the settings of ``method``."""
    return Rules(method.threshold, method.orders, method.distance, method.growth, method.zero_fix)


def summary(codebook: Codebook, moves: np.ndarray) -> dict[str, float]:
    """What is told of a codebook; ``moves`` is by how much each weight moved, 0 for those that are still free."""
    return {
        "share_fixed": codebook.fixed / codebook.assignment.size,
        "centres": len(codebook.centres),
        "mean_move": float(moves.sum(dtype=np.float64)) / max(codebook.fixed, 1),
        **{f"weights_order_{order}": weights for order, weights in codebook.weights_per_order().items()},
    }
