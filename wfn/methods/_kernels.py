"""What methods share that give rows of kernels, or whole kernels, the same values: where these stand."""

import torch
from torch import Tensor, nn

from wfn.training.flat_weights import FlatWeights


def positions(model: nn.Module, weights: FlatWeights) -> dict[str, Tensor]:
    """Name of a counted weight -> where each of its elements stands in ``weights.values``.

    Args:
        model: the network whose weights these are.

    Returns:
        int64, each in its parameter's shape, on the weights' device.
    """
    every = torch.arange(weights.values.numel(), device=weights.values.device)
    parameters = dict(model.named_parameters())
    return {
        # Each parameter is a view of the vector, whatever the order of its elements there.
        name: every.as_strided(parameters[name].shape, parameters[name].stride(), parameters[name].storage_offset())
        for name in weights.stretches()
    }
