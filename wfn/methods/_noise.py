"""What methods share whose weights carry noise: their settings checked, and handed on."""

from math import inf, log2
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from wfn.codebooks.codebook import Codebook
from wfn.codebooks.probabilistic_clustering.merging import Rules, check_reach
from wfn.errors import require
from wfn.training.flat_weights import FlatWeights
from wfn.training.layer_scales import check_fold
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
    fold: float


def check_noise_settings(method: NoisyMethod) -> None:
    """Raise :class:`UserError` for a setting, of those that methods with noise share, that cannot work."""
    check_stage_settings(method)
    check_fold(method.fold)
    require("weight_decay", method.weight_decay, 0 <= method.weight_decay < inf, "0 or more")
    require("regularisation", method.regularisation, 0 <= method.regularisation < inf, "0 or more")
    require("clip_norm", method.clip_norm, 0 < method.clip_norm < inf, "above 0, and finite")
    require("largest_deviation", method.largest_deviation, 0 < method.largest_deviation < inf, "above 0")
    require("prior_scale", method.prior_scale, 0 < method.prior_scale < inf, "above 0")
    require("deviation", method.deviation, 0 < method.deviation < inf, "above 0")
    require("distance", method.distance, 0 < method.distance < inf, "above 0")
    require("momentum", method.momentum, 0 <= method.momentum < 1, "from 0 to below 1")
    require("growth", method.growth, 1 < method.growth < inf, "above 1")
    require("orders", method.orders, 1 <= method.orders <= 4, "from 1 to 4")
    require("samples", method.samples, 1 <= method.samples <= 10_000, "from 1 to 10,000, each a pass over all images")
    require(
        "threshold",
        method.threshold,
        2.0**-20 <= method.threshold <= 1 and log2(method.threshold) % 1 == 0,
        "a power of two from 2^-20 to 1",
    )


def starting_deviations(method: NoisyMethod, weights: FlatWeights) -> Tensor:
    """float32 [f], by the prior or all alike.

    Raises:
        UserError: a weight is so large that no clustering could merge it.
    """
    check_reach(float(weights.values.data[: weights.fixable].abs().max()), method.threshold)
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
        **codebook.scores_of_orders(),
    }
