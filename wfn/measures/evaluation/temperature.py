"""Temperature scaling: what a network's confidence is worth once a single number is fitted on images held back."""

import math

import torch
from torch import Tensor

from wfn.measures.common.kinds import Values
from wfn.measures.common.predictions import Predictions

HOTTEST = 20.0  # the temperature is looked for from one over this to this
HALVINGS = 50  # of the logarithm's bracket: below what a float tells apart


def fitted_temperature(held_back: Predictions) -> float:
    """The temperature by which scores are divided for the least mean cross-entropy on images that are not for testing.

    Source: Guo, Pleiss, Sun & Weinberger, On Calibration of Modern Neural Networks, 2017, section 4.2. In 1/T the
    cross-entropy is convex: its slope there has one change of sign, which halving the bracket finds. (By hand, for
    scipy.optimize takes half a second to import.)

    Images whose own class is ruled out (a score of minus infinity) are left out: their cross-entropy is infinite at
    every temperature. Where none is left it is 1.
    """
    scores = held_back.scores.double()
    chosen = scores.gather(1, held_back.labels[:, None])[:, 0]
    telling = chosen > -math.inf
    if not telling.any():
        return 1.0
    scores, chosen = scores[telling], chosen[telling]
    low, high = -math.log(HOTTEST), math.log(HOTTEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if _slope(scores, chosen, math.exp(-middle)) <= 0 else (middle, high)
    return math.exp((low + high) / 2)


def _slope(scores: Tensor, chosen: Tensor, sharpness: float) -> float:
    """The derivative of the mean cross-entropy of ``sharpness * scores`` in ``sharpness``.

    Args:
        scores: [n, classes]; one of minus infinity has probability 0.
        chosen: [n], those of the labels.
        sharpness: one over the temperature.
    """
    probabilities = (sharpness * scores).softmax(1)
    expected = torch.where(probabilities > 0, probabilities * scores, 0.0).sum(1)
    return float((expected - chosen).mean())


def scaled(predictions: Predictions, temperature: float) -> Predictions:
    """The predictions with their scores divided by ``temperature``."""
    return Predictions(tuple((scores / temperature, labels) for scores, labels in predictions.batches))


def named_as_calibrated(values: Values, temperature: float) -> Values:
    """Measures of scaled predictions under names that say so; accuracy, which no temperature changes, is left out."""
    changed = {f"calibrated_{name}": value for name, value in values.items() if not name.startswith("top")}
    return changed | {"calibration_temperature": temperature}
