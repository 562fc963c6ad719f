"""How much likelihood and calibration differ between two networks on the same images, and how sure that is."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from wfn.measures.calibration_error import BINS, bins_of
from wfn.measures.common.kinds import Values
from wfn.measures.common.predictions import Predictions

COMPARED = ("loss", "ece")
RESAMPLES = 1000
AT_ONCE = 50  # resamples: their weights are held together
SEED = 0  # of the resampling


def paired_calibration(ours: Sequence[Predictions], theirs: Sequence[Predictions]) -> dict[str, Values]:
    """The mean over some sets of images of our ``loss`` and ``ece`` less theirs, and its deviation over the images.

    The deviation is that of a bootstrap: images are drawn anew, the same ones in every set and for both networks, for
    an image that is corrupted in several ways is still one image.

    Args:
        ours: predictions on each set, all of the same number of images in the same order.
        theirs: those of the other network.

    Returns:
        name -> ``difference`` and ``deviation``.
    """
    sides = [[_contributions(predictions) for predictions in side] for side in (ours, theirs)]
    images = len(ours[0].labels)
    whole = np.full((1, images), 1.0)
    difference = {name: value[0] for name, value in _differences(sides, whole).items()}
    generator = np.random.default_rng(SEED)
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in COMPARED}
    for _ in range(0, RESAMPLES, AT_ONCE):
        chosen = generator.integers(images, size=(AT_ONCE, images))
        weights = np.stack([np.bincount(row, minlength=images) for row in chosen]).astype(np.float64)
        for name, values in _differences(sides, weights).items():
            drawn[name].append(values)
    return {
        name: {"difference": float(difference[name]), "deviation": float(np.concatenate(drawn[name]).std())}
        for name in COMPARED
    }


def _contributions(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Of each image its loss [n], and how much more confident than right it is, in the column of its bin [n, bins]."""
    scores = predictions.scores.double()
    loss = functional.cross_entropy(scores, predictions.labels, reduction="none").numpy()
    confidences = scores.softmax(1).max(1).values
    excess = np.zeros((len(loss), BINS))
    excess[np.arange(len(loss)), bins_of(confidences).numpy()] = confidences.numpy() - predictions.correct
    return loss, excess


def _differences(sides: Sequence[Sequence[tuple[np.ndarray, np.ndarray]]], weights: np.ndarray) -> dict:
    """Name -> our measure less theirs [r], images weighted by ``weights`` [r, n], mean over the sets."""
    images = weights.shape[1]

    def measured(side: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        losses = [weights @ loss / images for loss, _ in side]
        errors = [np.abs(weights @ excess).sum(1) / images for _, excess in side]
        return np.stack([np.mean(losses, axis=0), np.mean(errors, axis=0)])

    ours, theirs = map(measured, sides)
    return dict(zip(COMPARED, ours - theirs, strict=True))


def same_images(one: Predictions, other: Predictions) -> bool:
    """Whether the labels of both come in the same order, so that images can be paired."""
    return torch.equal(one.labels, other.labels)
