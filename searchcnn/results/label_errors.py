"""Finds images that are likely filed under the wrong class: confident learning (Northcutt et al. 2021)."""

from dataclasses import dataclass

import numpy as np

from searchcnn.results.scores import Predictions


@dataclass(frozen=True)
class LabelError:
    """An image that likely belongs to another class.

    Attributes:
        name: The image.
        label: The class that it is filed under.
        suggested: The class that it likely belongs to.
        probability: Of the suggested class.
        probability_of_label: Of the class that it is filed under.
    """

    name: str
    label: str
    suggested: str
    probability: float
    probability_of_label: float


def find_label_errors(predictions: Predictions) -> list[LabelError]:
    """Returns the images that are likely filed under the wrong class, the most likely first.

    An image counts as one of a class if that class is at least as probable as it is for the images of that class on
    average; where several are, the most probable counts. It is named if that is another class than its own (the
    off-diagonal of the confident joint, arXiv:1911.00068, section 3.1). Of these, the one whose own class is the least
    probable comes first (self-confidence, as in cleanlab).

    Args:
        predictions: By a network that was not trained on these images.
    """
    found = _find_suspects(predictions)
    names, probabilities, labels = predictions.class_names, predictions.probabilities, predictions.labels
    errors = [
        LabelError(
            predictions.names[index],
            names[labels[index]],
            names[suggested],
            float(probabilities[index, suggested]),
            float(probabilities[index, labels[index]]),
        )
        for index, suggested in found
    ]
    return sorted(errors, key=lambda error: error.probability_of_label)


def _find_suspects(predictions: Predictions) -> list[tuple[int, int]]:
    """Returns the index of each suspect, and that of the class which it likely belongs to."""
    probabilities, labels = predictions.probabilities, predictions.labels
    classes = range(probabilities.shape[1])
    own = [probabilities[labels == label, label] for label in classes]
    thresholds = np.array([values.mean() if len(values) else np.inf for values in own])
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    suggested = confident.argmax(axis=-1)
    is_suspect = (confident.max(axis=-1) >= 0) & (suggested != labels)
    return [(int(index), int(suggested[index])) for index in np.flatnonzero(is_suspect)]
