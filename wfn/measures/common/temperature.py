"""Temperature scaling: what a network's confidence is worth once a single number is fitted on images held back."""

import math

from scipy.optimize import minimize_scalar
from torch.nn import functional

from wfn.measures.common.kinds import Values
from wfn.measures.common.predictions import Predictions

HOTTEST = 20.0  # the temperature is looked for from one over this to this


def fitted_temperature(held_back: Predictions) -> float:
    """The temperature by which scores are divided for the least mean cross-entropy on images that are not for testing.

    Source: Guo, Pleiss, Sun & Weinberger, On Calibration of Modern Neural Networks, 2017, section 4.2. In 1/T the
    cross-entropy is convex, so that the search by one bracket finds its minimum.
    """
    scores, labels = held_back.scores.double(), held_back.labels
    most = math.log(HOTTEST)

    def cross_entropy(logarithm: float) -> float:
        return float(functional.cross_entropy(scores / math.exp(logarithm), labels))

    return math.exp(minimize_scalar(cross_entropy, bounds=(-most, most), method="bounded").x)


def scaled(predictions: Predictions, temperature: float) -> Predictions:
    """The predictions with their scores divided by ``temperature``."""
    return Predictions(tuple((scores / temperature, labels) for scores, labels in predictions.batches))


def named_as_calibrated(values: Values, temperature: float) -> Values:
    """Measures of scaled predictions under names that say so; accuracy, which no temperature changes, is left out."""
    changed = {f"calibrated_{name}": value for name, value in values.items() if not name.startswith("top")}
    return changed | {"temperature": temperature}
