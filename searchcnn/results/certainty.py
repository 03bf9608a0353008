"""How sure a model has to be to be relied on: selective classification (Geifman and El-Yaniv 2017).

Of the validation images that it is at least that sure of, a promised share is right, by the lower end of the interval
of that share (Wilson 1927), not by the share itself: of few images too many may be right by chance.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from searchcnn.results.scores import Predictions

PROMISES = (0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
"""Accuracies that may be promised."""
USUAL = 0.95
"""The one that is promised unless the model is better than that on all images, or cannot keep it."""
LEAST_SHARE = 0.5
"""Share of the images that should be sure: rather a lower promise than one for a few images."""


@dataclass(frozen=True)
class Certainty:
    """How sure a model has to be of an image, 0..1, to be relied on.

    Attributes:
        threshold: Probability of the most probable class that is enough.
        promise: Accuracy that is promised of images with that probability or more.
        accuracy: Accuracy on the validation images with that probability or more.
        share: Share of the validation images that have it.
        images: Number of validation images.
    """

    threshold: float
    promise: float
    accuracy: float
    share: float
    images: int


def find_certainty(predictions: Predictions) -> Certainty | None:
    """Returns how sure a model has to be, so that as many images as possible are sure and a promise is kept.

    The promise is 95 %. Where the model keeps that for all images, it is the next higher one that it does not keep for
    all; where it cannot keep a promise for half of the images, it is the next lower one, if that helps.

    Args:
        predictions: Of a model that was not trained on these images.

    Returns:
        None if not even 80 % can be promised: the images are too few, or the model is too bad.
    """
    order = np.argsort(-predictions.confidence, kind="stable")
    confidence = predictions.confidence[order]
    hits = np.cumsum(predictions.predicted[order] == predictions.labels[order])
    accuracy = hits / np.arange(1, len(hits) + 1)
    kept = _compute_lower_ends(accuracy)
    kept[:-1][confidence[:-1] == confidence[1:]] = 0.0  # images that are equally sure go together
    highest = next((promise for promise in PROMISES if promise >= USUAL and promise > kept[-1]), PROMISES[-1])
    found: list[Certainty] = []
    for promise in reversed([promise for promise in PROMISES if promise <= highest]):
        if len(last := np.flatnonzero(kept >= promise)):
            count = int(last[-1]) + 1
            threshold = math.floor(confidence[count - 1] * 1e6) / 1e6
            found.append(Certainty(threshold, promise, float(accuracy[count - 1]), count / len(hits), len(hits)))
    return next((certainty for certainty in found if certainty.share >= LEAST_SHARE), found[0] if found else None)


def _compute_lower_ends(accuracy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the lower ends of the 95 % intervals of accuracies on the first 1, 2, ... images (Wilson 1927)."""
    from scipy.special import ndtri

    images, z = np.arange(1, len(accuracy) + 1), ndtri(0.975)
    margin = z * np.sqrt(accuracy * (1 - accuracy) / images + (z / (2 * images)) ** 2)
    ends: npt.NDArray[np.float64] = (accuracy + z**2 / (2 * images) - margin) / (1 + z**2 / images)
    return ends
