"""What methods whose weights carry noise share: where deviations start, how strongly they are pulled, and samples."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from wfn.data.dataset import Data
from wfn.measures import measure_outputs
from wfn.measures.common.predictions import Predictions, predict
from wfn.training.flat_weights import FlatWeights
from wfn.training.updates.sampled_weights import LEAST_DEVIATION, draw

# 27.05 epochs on ImageNet: nine stages of three epochs of 1,281,167 * 0.9 images in batches of 128, and 5 % of one.
RELEASED_STEPS = 27 * 9009 + 450


LEAST_PROBABILITY = 1e-300  # a smaller mean counts as this: a probability of zero has no logarithm


def start_deviations(weights: FlatWeights, scale: float, limit: float) -> Tensor:
    """Where the deviations start: none at a power of two, the larger the further a weight is from both its neighbours.

    ``scale * r / q`` with ``r = |w - up| |w - down| / w^2`` for the powers of two ``up`` and ``down`` around ``w``, and
    ``q`` the third quartile of r in the parameter; then from 2^-30 up to ``limit``.

    Differs: r is 0 for w = 0, for which the authors' code makes every deviation of the parameter NaN. Where q is 0 (a
    batch-norm's scales, say, nearly all of which are 1), the largest r takes its place.

    Args:
        weights: the network's, of which the fixable ones get a deviation.
        scale: the third quartile of a parameter's deviations.
        limit: the largest.

    Returns:
        float32 [f], on the device of ``weights``.
    """
    parts = [_bumps(values.cpu().numpy(), scale, limit) for values, _ in _fixable_parameters(weights)]
    return torch.from_numpy(np.concatenate(parts)).to(weights.values.device)


def _bumps(weights: np.ndarray, scale: float, limit: float) -> np.ndarray:
    sizes = np.abs(weights.astype(np.float64))
    whole, r = sizes > 0, np.zeros(sizes.size)
    exponents = np.log2(sizes[whole])
    up, down = np.exp2(np.ceil(exponents)), np.exp2(np.floor(exponents))
    r[whole] = np.abs(sizes[whole] - up) / sizes[whole] * (np.abs(sizes[whole] - down) / sizes[whole])
    quartile = (np.quantile(r, 0.75) or r.max()) if r.size else 0.0
    return np.clip(scale * r / (quartile or 1.0), LEAST_DEVIATION, limit).astype(np.float32)


def regularised(weights: FlatWeights) -> Tensor:
    """bool [f], True for the weights of tensors of two dimensions or more: those of layers, not biases or scales."""
    parts = [
        torch.full_like(values, dimensions >= 2, dtype=torch.bool)
        for values, dimensions in _fixable_parameters(weights)
    ]
    return torch.cat(parts)


def _fixable_parameters(weights: FlatWeights) -> Iterator[tuple[Tensor, int]]:
    """Of every parameter whose weights are fixable its stretch of the flat vector, and how many dimensions it has."""
    start = 0
    for values in weights.named().values():
        if start < weights.fixable:
            yield weights.values.data[start : start + values.numel()], values.dim()
        start += values.numel()


def scaled_regularisation(regularisation: float, steps: int) -> float:
    """lambda for a run of ``steps`` steps, so that lambda times steps is what it was in the authors' runs."""
    return regularisation * RELEASED_STEPS / max(steps, 1)


def sampled_scores(
    model: nn.Module, weights: FlatWeights, means: Tensor, deviations: Tensor, data: Data, samples: int, seed: int
) -> dict[str, float]:
    """Every measure of outputs, of the mean of the softmax outputs of some sampled networks on the test images.

    The mean is of probabilities, never of scores, and no sample is weighted. The network computes with ``means`` again
    afterwards.

    Args:
        model: in which ``weights`` are.
        weights: the flat vector, of which the first ones are drawn.
        means: float32 [n].
        deviations: float32 [f].
        data: whose test images are taken.
        samples: M.
        seed: settles the noise.

    Returns:
        the measures' values, by their names with ``sampled_`` in front, and ``samples``.
    """
    device = weights.values.device
    generator = torch.Generator(device).manual_seed(seed)
    noise, values = torch.empty_like(deviations), weights.values.data
    sums: list[Tensor] = []
    for sample in range(samples):
        noise.normal_(generator=generator)
        draw(means[: len(noise)], deviations, noise, values[: len(noise)])
        predictions = predict(model, data.test, device)
        probabilities = [scores.double().softmax(1) for scores, _ in predictions.batches]
        sums = [a + b for a, b in zip(sums, probabilities, strict=True)] if sample else probabilities
    values.copy_(means)
    mean = tuple(
        ((total / samples).clamp(min=LEAST_PROBABILITY).log().float(), labels)
        for total, (_, labels) in zip(sums, predictions.batches, strict=True)
    )
    found = measure_outputs(Predictions(mean))
    return {f"sampled_{name}": value for name, value in found.items()} | {"samples": samples}
