"""Eq. 4 as it is written, with its centres x weights matrix, in float64."""

import torch
from torch import Tensor


def penalties(weights: Tensor, centres: Tensor, threshold: float, temperature: float) -> Tensor:
    """Return F of each weight, float64 [N]; differentiable in the weights, sgn(0) = 0 at the centres."""
    weights = weights.double()
    live = weights.abs() >= threshold
    w = torch.where(live, weights, 1.0)[:, None]  # a live stand-in keeps NaN out of the gradient
    distances = (w - centres).abs() / w.abs()
    shares = torch.softmax(-distances / temperature, dim=1)
    return torch.where(live, (distances * shares).sum(dim=1), 0.0)


def gradients(weights: Tensor, centres: Tensor, threshold: float, temperature: float) -> tuple[Tensor, Tensor]:
    """Return F' of each weight and its scale, the mean slope sum_j p_j |D_j'|, float64 [N], by hand."""
    weights = weights.double()
    live = weights.abs() >= threshold
    w = torch.where(live, weights, 1.0)[:, None]
    distances = (w - centres).abs() / w.abs()
    shares = torch.softmax(-distances / temperature, dim=1)
    value = (distances * shares).sum(dim=1, keepdim=True)
    slopes = torch.sign(w - centres) * centres / (w * w.abs())  # of |w - c| / |w|
    gradient = (shares * slopes * (1 - (distances - value) / temperature)).sum(dim=1)
    scale = (shares * slopes.abs()).sum(dim=1)
    return torch.where(live, gradient, 0.0), torch.where(live, scale, 0.0)
