"""Looks at the best model when a search ends: how sure it is, what it gets wrong, where it looks."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import numpy.typing as npt

from searchcnn.data import Dataset, Split
from searchcnn.data.dataset import Indices
from searchcnn.graph import expose_features
from searchcnn.results.activation import map_activations
from searchcnn.results.calibration import Calibration, apply_temperature, calibrate, temper
from searchcnn.results.certainty import Certainty, find_certainty
from searchcnn.results.export import SAMPLE, predict, predict_with_features
from searchcnn.results.gallery import Picture, choose_images, make_pictures
from searchcnn.results.neighbors import MEASURED, Neighbors, fit_neighbors
from searchcnn.results.scores import Predictions
from searchcnn.results.verification import choose_tolerance

PREDICTED = 128
"""Number of validation images that are classified at once; in between the clock is looked at."""
MAPPING_SECONDS = 1.0
"""How long of its time a model may be asked where it looks."""


@dataclass(frozen=True)
class Examination:
    """What is found out about a model.

    Attributes:
        predictions: What it predicts for validation images, in their order; for a random sample if the time was short.
        calibration: What calibrating it has changed; None if it was left alone.
        certainty: How sure it has to be to be relied on; None if that cannot be promised.
        neighbors: Tells images that are unlike all that it knows; None if its features do not.
        pictures: Some of the images, for a report.
    """

    predictions: Predictions
    calibration: Calibration | None
    certainty: Certainty | None
    neighbors: Neighbors | None
    pictures: list[Picture]


def examine(network: Any, dataset: Dataset, seed: int, deadline: float, is_calibrated: bool) -> Examination:
    """Examines a model, and calibrates it in place.

    Args:
        network: A classifier that was not trained on the validation images.
        dataset: Its dataset.
        seed: Chooses the images if there is no time for all.
        deadline: When to end, as `time.monotonic` has it; at least some images are classified.
        is_calibrated: Whether it is calibrated already.
    """
    images, order = dataset.validation.images, np.random.default_rng(seed).permutation(len(dataset.validation))
    exposed = expose_features(network)
    probabilities, neighbors = _predict(exposed, images, order, deadline - MAPPING_SECONDS)
    order = order[: len(probabilities)]
    predictions = _make_predictions(dataset.validation, order, probabilities, dataset.class_names)
    calibration = None if is_calibrated else _calibrate(exposed, predictions, images[:SAMPLE])
    if calibration is not None:
        predictions = apply_temperature(predictions, calibration.temperature)
    pictures = _draw(network, predictions, images, order, deadline)
    certainty = find_certainty(predictions)
    return Examination(predictions.take(np.argsort(order)), calibration, certainty, neighbors, pictures)


def _predict(
    network: Any, images: Any, order: Indices, deadline: float
) -> tuple[npt.NDArray[np.float32], Neighbors | None]:
    """Returns what a network predicts for images until the deadline, and what tells others from them."""
    parts: list[npt.NDArray[np.float32]] = []
    known: list[npt.NDArray[np.float32]] = []
    for start in range(0, len(order), PREDICTED):
        probabilities, features = predict_with_features(network, images[order[start : start + PREDICTED]])
        parts.append(probabilities)
        if features is not None and start < MEASURED:
            known.append(features)
        if time.monotonic() > deadline:
            break
    return np.concatenate(parts), fit_neighbors(np.concatenate(known)) if known else None


def _make_predictions(
    split: Split, order: Indices, probabilities: npt.NDArray[np.float32], class_names: Sequence[str]
) -> Predictions:
    names = [split.names[index] for index in order]
    return Predictions(names, split.labels[order], probabilities, class_names)


def _calibrate(network: Any, predictions: Predictions, images: npt.NDArray[np.uint8]) -> Calibration | None:
    """Calibrates a network, unless that does more to it: its last layer may be used elsewhere in it, too."""
    before = predict(network, images)
    calibration = calibrate(network, predictions)
    if calibration is None:
        return None
    expected = temper(before, calibration.temperature)
    is_alone = np.allclose(predict(network, images), expected, atol=choose_tolerance())
    return calibration if is_alone else None


def _draw(network: Any, predictions: Predictions, images: Any, order: Indices, deadline: float) -> list[Picture]:
    """Returns pictures of the images that are worth to be looked at, given the places of what is predicted."""
    chosen = choose_images(predictions)
    pixels = images[order[list(chosen)]]
    maps = map_activations(network, pixels, predictions.predicted[list(chosen)])
    return make_pictures(predictions, chosen, pixels, list(takewhile(lambda _: time.monotonic() < deadline, maps)))
