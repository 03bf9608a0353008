"""Scores a saved model: on the test images, which no search has seen, or on others."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from searchcnn.data import Dataset, Split
from searchcnn.errors import DataError, StoreError, nearest
from searchcnn.events import Hear, ignore
from searchcnn.files import guard_writing
from searchcnn.results.card import get_card_path, hash_file, read_card, read_preparation, write_card
from searchcnn.results.export import load_model, predict
from searchcnn.results.scores import Predictions, Scores, score
from searchcnn.sources import load_images
from searchcnn.study import DataConfig


def evaluate_model(path: Path, dataset: Dataset) -> Scores:
    """Scores a saved model on a dataset's test images, and records the scores in its card.

    Raises:
        StoreError: If there is no model, it was trained on other images, or its card cannot be written.
    """
    card = read_card(path)
    if card["data"]["fingerprint"] != dataset.fingerprint:
        raise StoreError(
            f"{path} was trained on images other than those at {dataset.source}; restore the old images, or search the "
            "new ones under another name with --name; `searchcnn evaluate MODEL.keras --data PATH` scores it on others"
        )
    predictions = _predict(load_model(path), dataset.test, dataset.class_names)
    scores = score(predictions, times_read=card["scores"].get("test", {}).get("times_read", 0) + 1)
    card["scores"]["test"] = {**scores.summarize(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
    if hash_file(path) != card["sha256"]:
        raise StoreError(f"{path} has been replaced by a better model; evaluate it when the search has ended")
    with guard_writing(get_card_path(path)):
        write_card(path, card)
    return scores


def evaluate_on(path: Path, data: str, hear: Hear = ignore) -> Scores:
    """Scores a saved model on any images, prepared as its card says: on their test part if they have one, else on all.

    Args:
        path: The model.
        data: The images, as ``[data] path`` has them; those of classes that the model does not know are left out.
        hear: Hears how far they are read.

    Raises:
        StoreError: If there is no model, or its card does not say how images are prepared.
        DataError: If the images cannot be read, or the model knows none of their classes.
    """
    card = read_card(path)
    height, width, channels = (how := read_preparation(path, card)).shape
    config = DataConfig(path=data, image_size=[height, width], channels=1 if channels == 1 else 3, resize=how.resize)
    images, classes = load_images(config, hear), list(card["classes"])
    unknown = [name for name in images.class_names if name not in classes]
    if len(unknown) == len(images.class_names):
        hint = nearest(unknown[0], classes)
        raise DataError(
            f"{images.source}: {path} knows none of its classes, such as '{unknown[0]}'{hint}; it knows "
            f"{', '.join(classes)}"
        )
    return score(_predict(load_model(path), images.relabel(classes), classes), left_out=unknown)


def _predict(model: Any, split: Split, class_names: Sequence[str]) -> Predictions:
    return Predictions(split.names, split.labels, predict(model, split.images), class_names, split.images)
