"""What methods whose weights carry noise share: where deviations start, how strongly they are pulled, and samples."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from wfn.data.dataset import Data
from wfn.training.flat_weights import FlatWeights, Stretch, traced
from wfn.training.updates.sampled_weights import LEAST_DRAWN, draw

BEFORE, AFTER = "before", "after"  # the moments of which :func:`spread_by_size` tells
# 27.05 epochs on ImageNet: nine stages of three epochs of 1,281,167 * 0.9 images in batches of 128, and 5 % of one. The
# stage before, by which the file was made that the authors' runs load, is not in it: how long that was is not told.
RELEASED_STEPS = 27 * 9009 + 450


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
    values = weights.values.data.cpu().numpy()
    parts = [_bumps(values[start:stop], scale, limit) for start, stop, _ in _fixable_parameters(weights)]
    return torch.from_numpy(np.concatenate(parts)).to(weights.values.device)


def _bumps(weights: np.ndarray, scale: float, limit: float) -> np.ndarray:
    sizes = np.abs(weights.astype(np.float64))
    whole, r = sizes > 0, np.zeros(sizes.size)
    exponents = np.log2(sizes[whole])
    up, down = np.exp2(np.ceil(exponents)), np.exp2(np.floor(exponents))
    r[whole] = np.abs(sizes[whole] - up) / sizes[whole] * (np.abs(sizes[whole] - down) / sizes[whole])
    quartile = (np.quantile(r, 0.75) or r.max()) if r.size else 0.0
    return np.clip(scale * r / (quartile or 1.0), LEAST_DRAWN, limit).astype(np.float32)


def regularised(weights: FlatWeights) -> Tensor:
    """bool [f], True for the weights of tensors of two dimensions or more: those of layers, not biases or scales."""
    parts = [torch.full((shape.numel(),), len(shape) >= 2) for *_, shape in _fixable_parameters(weights)]
    return torch.cat(parts).to(weights.values.device)


def _fixable_parameters(weights: FlatWeights) -> list[Stretch]:
    """Where every parameter stands whose weights are fixable."""
    return [stretch for stretch in weights.stretches().values() if stretch.start < weights.fixable]


def scaled_regularisation(regularisation: float, steps: int) -> float:
    """lambda for a run of ``steps`` steps, so that lambda times steps is what it was in the authors' runs.

    What that keeps is how far a deviation grows that nothing opposes: from s to ``S - (S - s) exp(-rate * l * steps)``,
    with ``l = lambda E|eps| = 0.80 lambda`` and ``rate = learning_rate / (1 - momentum)``, as long as no gradient is
    clipped. What it does not keep is the balance with the loss. Where the loss's gradient by a deviation is ``h sigma``
    on average, the deviation settles at ``l S / (h + l)``, whatever the number of steps is: the larger lambda, the
    wider. So a short run by the scaled lambda is another method, not the same for less. With h = 0.01 and S = 0.05 it
    is 0.0019 for 2^-11; for all of CIFAR-10 in batches of 128, 0.024 for 27 epochs and 0.036 for 9. (That h is an
    example: it is no constant, and has not been measured in a run.)
    """
    return regularisation * RELEASED_STEPS / max(steps, 1)


def drawn_networks(
    model: nn.Module, data: Data, fix_batch_norm: bool, deviations: Tensor, samples: int, seed: int
) -> Iterator[nn.Module]:
    """``model`` with weights drawn around those that it has, ``samples`` times, the same in each call.

    It computes with the weights that it had again afterwards.

    Args:
        model: a network; its weights are the means.
        data: for which it is.
        fix_batch_norm: whether batch-norm's scales and shifts are drawn, too.
        deviations: float32 [f], in the order of :class:`wfn.training.flat_weights.FlatWeights`.
        samples: M.
        seed: settles the noise.
    """
    weights = FlatWeights(model, traced(model, data), fix_batch_norm)
    values, drawn = weights.values.data, len(deviations)
    means, noise = values.clone(), torch.empty_like(deviations)
    generator = torch.Generator(values.device).manual_seed(seed)
    try:
        for _ in range(samples):
            noise.normal_(generator=generator)
            draw(means[:drawn], deviations, noise, values[:drawn])
            yield model
    finally:
        values.copy_(means)
        weights.release()


def spread_by_size(moment: str, means: Tensor, deviations: Tensor) -> list[dict[str, float | str]]:
    """How far the noise spreads around weights of each size: a row for each half octave of |mean|.

    Args:
        moment: of the training, such as ``before``.
        means, deviations: float32 [f].

    Returns:
        ``moment``, ``size`` (where the half octave begins), ``weights`` in it, and ``lower``, ``median`` and ``upper``,
        the 10 %, 50 % and 90 % quantiles of their deviations, of which each counts as 2^-30 at least, as where weights
        are drawn. Weights of less than 2^-12, zeros among them, are in one row of size 0.
    """
    sizes, spreads = means.abs().cpu().numpy(), deviations.clamp(min=LEAST_DRAWN).cpu().numpy()
    edges = np.concatenate(([0.0], np.exp2(np.arange(-24, 25) / 2), [np.inf]))
    found = []
    for low, high in pairwise(edges):
        inside = spreads[(sizes >= low) & (sizes < high)]
        if len(inside):
            lower, median, upper = np.quantile(inside, (0.1, 0.5, 0.9)).tolist()
            quantiles = {"lower": lower, "median": median, "upper": upper}
            found.append({"moment": moment, "size": float(low), "weights": len(inside), **quantiles})
    return found
