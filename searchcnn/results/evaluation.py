"""Scores a saved model on the test images, which no search has seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from searchcnn.data import Dataset
from searchcnn.errors import StoreError
from searchcnn.files import guard_writing
from searchcnn.results.card import card_path, read_card, sha256, write_card
from searchcnn.results.export import load_model, predict


@dataclass(frozen=True)
class ClassScore:
    """How well one class is recognised.

    Attributes:
        name: The class.
        precision: Part of the images taken for this class that are of it.
        recall: Part of this class's images that are taken for it.
        f1: Harmonic mean of the two.
        images: Number of test images of this class.
    """

    name: str
    precision: float
    recall: float
    f1: float
    images: int


@dataclass(frozen=True)
class Scores:
    """Scores on the test images.

    Attributes:
        accuracy: Part of the images that are classified right.
        loss: Mean cross-entropy, in nats.
        images: Number of test images.
        classes: Scores of each class.
        times_read: How many times this model has been scored on the test images, this time included.
    """

    accuracy: float
    loss: float
    images: int
    classes: Sequence[ClassScore]
    times_read: int


def evaluate_model(path: Path, dataset: Dataset) -> Scores:
    """Scores a saved model on a dataset's test images, and notes the scores in its card.

    Raises:
        StoreError: If there is no model, it was made from other images, or its card cannot be written.
    """
    card = read_card(path)
    if card["data"]["fingerprint"] != dataset.fingerprint:
        raise StoreError(
            f"{path} was trained on other images than those at {dataset.source}; "
            "give back the old images, or search the new ones in a new study with --name"
        )
    probabilities = predict(load_model(path), dataset.test.images)
    before = card["scores"].get("test", {}).get("times_read", 0)
    scores = score(probabilities, dataset, before + 1)
    noted = {"accuracy": scores.accuracy, "loss": scores.loss, "images": scores.images, "times_read": scores.times_read}
    card["scores"]["test"] = {**noted, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    if sha256(path) != card["sha256"]:
        raise StoreError(f"{path} was replaced by a better model meanwhile; evaluate it when the search has ended")
    with guard_writing(card_path(path)):
        write_card(path, card)
    return scores


def score(probabilities: Any, dataset: Dataset, times_read: int = 1) -> Scores:
    """Computes scores from predicted probabilities of the test images, shape (images, classes)."""
    from sklearn.metrics import accuracy_score, log_loss, precision_recall_fscore_support

    labels, numbers = dataset.test.labels, range(dataset.num_classes)
    predicted = np.argmax(probabilities, axis=-1)
    table = precision_recall_fscore_support(labels, predicted, labels=list(numbers), zero_division=0.0)
    rows = zip(dataset.class_names, *table, strict=True)
    exact = np.asarray(probabilities, dtype=np.float64)
    return Scores(
        accuracy=float(accuracy_score(labels, predicted)),
        loss=float(log_loss(labels, exact / exact.sum(axis=-1, keepdims=True), labels=list(numbers))),
        images=len(labels),
        classes=[ClassScore(name, float(p), float(r), float(f), int(n)) for name, p, r, f, n in rows],
        times_read=times_read,
    )
