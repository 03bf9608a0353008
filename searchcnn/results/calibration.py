"""Makes probabilities honest: of the images of which a model is 90 % sure, nine in ten should be right.

All scores before the last softmax are divided by one number, the temperature, that is fitted on validation images (Guo
et al. 2017). That changes no prediction. The last layer's weights take it up, so that nothing is added to the model.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from searchcnn.graph import find_output_layer, is_softmax
from searchcnn.results.scores import Predictions, compute_calibration_error, compute_loss

COLDEST, HOTTEST = 0.05, 20.0
"""Bounds of the temperature."""
LEAST = 50
"""Number of images that are too few to fit even one number to."""


@dataclass(frozen=True)
class Calibration:
    """What calibrating a model has changed.

    Attributes:
        temperature: What its scores are divided by; above 1 where it was too sure.
        images: Number of validation images that this was fitted to.
        error_before: Its calibration error on them before; see `searchcnn.results.Scores`.
        error_after: The same of each half of them, with the temperature that is fitted to the other half.
        loss_before: Mean cross-entropy before, in nats.
        loss_after: Likewise.
    """

    temperature: float
    images: int
    error_before: float
    error_after: float
    loss_before: float
    loss_after: float


def calibrate(model: Any, predictions: Predictions) -> Calibration | None:
    """Calibrates a model in place.

    Args:
        model: A classifier, whose weights are changed.
        predictions: Its predictions for images that it was not trained on, in random order.

    Returns:
        What that has changed; None if nothing was: the images are too few, a temperature that is fitted to one half of
        them does not help the other half, or the model does not end with ``Dense(classes, activation="softmax")``.
    """
    if len(predictions) < LEAST:
        return None
    crossed = _cross_fit(predictions)
    before, after = compute_loss(predictions), compute_loss(crossed)
    temperature = fit_temperature(predictions)
    if after >= before or not divide_scores(model, temperature):
        return None
    errors = (compute_calibration_error(predictions), compute_calibration_error(crossed))
    return Calibration(temperature, len(predictions), *errors, before, after)


def _cross_fit(predictions: Predictions) -> Predictions:
    """Returns the predictions with each half at the temperature that is fitted to the other half."""
    probabilities = np.empty_like(predictions.probabilities)
    rows = np.arange(len(predictions))
    for half, other in ((rows[0::2], rows[1::2]), (rows[1::2], rows[0::2])):
        temperature = fit_temperature(predictions.take(other))
        probabilities[half] = apply_temperature(predictions.take(half), temperature).probabilities
    return replace(predictions, probabilities=probabilities)


def fit_temperature(predictions: Predictions) -> float:
    """Returns the temperature with which a model's probabilities fit the labels best: the cross-entropy is smallest.

    A label counts as right with probability (n + 1) / (n + 2) for n images, or else a model without mistakes would be
    made to be certain (Platt 1999).

    Args:
        predictions: By a model that was not trained on these images.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    scores = _compute_scores(predictions.probabilities)
    images, classes = scores.shape
    targets = np.full((images, classes), 1 / ((images + 2) * (classes - 1)))
    targets[np.arange(images), predictions.labels] = (images + 1) / (images + 2)

    def measure_loss(logarithm: float) -> float:
        return float(-(targets * log_softmax(scores / np.exp(logarithm), axis=-1)).sum(axis=-1).mean())

    found = minimize_scalar(measure_loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x))


def temper(probabilities: npt.NDArray[np.float32], temperature: float) -> npt.NDArray[np.float32]:
    """Returns probabilities, shape (images, classes), with the scores before the softmax divided by a temperature."""
    from scipy.special import softmax

    tempered: npt.NDArray[np.float32] = softmax(_compute_scores(probabilities) / temperature, axis=-1)
    return tempered.astype(np.float32)


def apply_temperature(predictions: Predictions, temperature: float) -> Predictions:
    """Returns what the model predicts once its scores are divided by a temperature."""
    return replace(predictions, probabilities=temper(predictions.probabilities, temperature))


def _compute_scores(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Returns the scores that softmax has made probabilities of, but for a constant of each image."""
    return np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float32).tiny))


def divide_scores(model: Any, temperature: float) -> bool:
    """Divides the scores before a model's last softmax by a temperature, in place.

    Args:
        model: A classifier.
        temperature: Above zero.

    Returns:
        Whether that could be done: the model ends with ``Dense(classes, activation="softmax")``.
    """
    layer = find_output_layer(model)
    if not is_softmax(layer):
        return False
    layer.set_weights([weights / temperature for weights in layer.get_weights()])
    return True
