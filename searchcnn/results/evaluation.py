"""Scores a saved model on the test images, which no search has seen."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from searchcnn.data import Dataset
from searchcnn.errors import StoreError
from searchcnn.files import guard_writing
from searchcnn.results.card import get_card_path, hash_file, read_card, write_card
from searchcnn.results.export import load_model, predict


@dataclass(frozen=True)
class ClassScore:
    """How well one class is recognised.

    Attributes:
        name: The class.
        precision: Fraction of the images taken for this class that belong to it.
        recall: Fraction of this class's images that are taken for it.
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
        accuracy: Fraction of the images that are classified correctly.
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
    """Scores a saved model on a dataset's test images, and records the scores in its card.

    Raises:
        StoreError: If there is no model, it was trained on other images, or its card cannot be written.
    """
    card = read_card(path)
    if card["data"]["fingerprint"] != dataset.fingerprint:
        raise StoreError(
            f"{path} was trained on images other than those at {dataset.source}; "
            "restore the old images, or search the new ones under another name with --name"
        )
    probabilities = predict(load_model(path), dataset.test.images)
    times_read = card["scores"].get("test", {}).get("times_read", 0) + 1
    scores = score(probabilities, dataset, times_read)
    record = {name: value for name, value in asdict(scores).items() if name != "classes"}
    card["scores"]["test"] = {**record, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    if hash_file(path) != card["sha256"]:
        raise StoreError(f"{path} has been replaced by a better model; evaluate it when the search has ended")
    with guard_writing(get_card_path(path)):
        write_card(path, card)
    return scores


def score(probabilities: Any, dataset: Dataset, times_read: int = 1) -> Scores:
    """Computes scores from predicted probabilities of the test images, shape (images, classes)."""
    from sklearn.metrics import accuracy_score, log_loss, precision_recall_fscore_support

    labels, numbers = dataset.test.labels, range(dataset.num_classes)
    predicted = np.argmax(probabilities, axis=-1)
    table = precision_recall_fscore_support(labels, predicted, labels=list(numbers), zero_division=0.0)
    rows = zip(dataset.class_names, *table, strict=True)
    float64 = np.asarray(probabilities, dtype=np.float64)
    return Scores(
        accuracy=float(accuracy_score(labels, predicted)),
        loss=float(log_loss(labels, float64 / float64.sum(axis=-1, keepdims=True), labels=list(numbers))),
        images=len(labels),
        classes=[ClassScore(name, float(p), float(r), float(f), int(n)) for name, p, r, f, n in rows],
        times_read=times_read,
    )
