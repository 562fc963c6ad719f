"""What several networks give together: the mean of their probabilities, on the same images."""

from collections.abc import Iterable

import torch
from torch import nn

from wfn.measures.common.predictions import Predictions, predict

LEAST_PROBABILITY = 1e-300  # a smaller mean counts as this: a probability of zero has no logarithm


def predict_mean(networks: Iterable[nn.Module], batches: Iterable, device: torch.device) -> Predictions:
    """The mean of the softmax outputs of ``networks``, one after another, as scores whose softmax it is.

    The mean is of probabilities, never of scores, and no network is weighted.

    Args:
        networks: one at least; may be one module that computes with other weights each time.
        batches: of (inputs, labels), the same in every pass.
        device: where the networks are.
    """
    sums: list[torch.Tensor] = []
    count = 0
    for network in networks:
        count += 1
        predictions = predict(network, batches, device)
        probabilities = [scores.double().softmax(1) for scores, _ in predictions.batches]
        sums = [a + b for a, b in zip(sums, probabilities, strict=True)] if sums else probabilities
    return Predictions(
        tuple(
            ((total / count).clamp(min=LEAST_PROBABILITY).log().float(), labels)
            for total, (_, labels) in zip(sums, predictions.batches, strict=True)
        )
    )
