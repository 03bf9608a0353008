"""Scores a saved model: on the test images, which no search has seen, or on others."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from searchcnn.data import Dataset, Split
from searchcnn.errors import DataError, StoreError, nearest
from searchcnn.events import Hear, Note, ignore
from searchcnn.files import guard_writing
from searchcnn.results.card import get_card_path, hash_file, read_card, read_preparation, write_card
from searchcnn.results.certainty import find_certainty
from searchcnn.results.export import load_model, predict
from searchcnn.results.foreign import as_probabilities, load_foreign
from searchcnn.results.scores import Predictions, Scores, score
from searchcnn.results.stored import write_predictions
from searchcnn.sources import load_images
from searchcnn.study import DataConfig


def evaluate_model(path: Path, dataset: Dataset, target: Path | None = None) -> Scores:
    """Scores a saved model on a dataset's test images, and records the scores in its card.

    Args:
        path: The model.
        dataset: The images that it was found with.
        target: The file to keep in what it predicts for them, if any.

    Raises:
        StoreError: If there is no model, it was trained on other images, or its card cannot be written.
    """
    predictions = predict_part(path, dataset, "test", target)
    card = read_card(path)
    scores = score(predictions, times_read=card["scores"].get("test", {}).get("times_read", 0) + 1)
    card["scores"]["test"] = {**scores.summarize(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
    with guard_writing(get_card_path(path)):
        write_card(path, card)
    return scores


def predict_part(path: Path, dataset: Dataset, part: str, target: Path | None = None) -> Predictions:
    """Returns what a saved model predicts for a part of a dataset.

    Where that is kept for the validation images, the card says what follows for all of them: how sure the model has to
    be to be relied on.

    Args:
        path: The model.
        dataset: The images that it was found with.
        part: ``train``, ``validation`` or ``test``.
        target: The file to keep that in, if any; see `searchcnn.results.read_predictions`.

    Raises:
        StoreError: If there is no model, it was trained on other images, or the file cannot be written.
    """
    card = read_card(path)
    if card["data"]["fingerprint"] != dataset.fingerprint:
        raise StoreError(
            f"{path} was trained on images other than those at {dataset.source}; restore the old images, or search the "
            "new ones under another name with --name; `searchcnn evaluate MODEL.keras --data PATH` scores it on others"
        )
    predictions = _predict(load_model(path), getattr(dataset, part), dataset.class_names)
    if hash_file(path) != card["sha256"]:
        raise StoreError(f"{path} has been replaced by a better model; use it when the search has ended")
    if target is not None:
        write_predictions(target, predictions, card["sha256"])
    if target is not None and part == "validation":
        certainty = find_certainty(predictions)
        with guard_writing(get_card_path(path)):
            write_card(path, {**card, "sure": asdict(certainty) if certainty else None})
    return predictions


def evaluate_on(path: Path, data: str, hear: Hear = ignore) -> Scores:
    """Scores a saved model on any images, prepared as its card says: on their test part if they have one, else on all.

    A Keras classifier without a card is given pixels 0..255, stretched to its size. Its outputs are taken for the
    classes of the images, sorted by name.

    Args:
        path: The model.
        data: The images, as ``[data] path`` has them; those of classes that the model does not know are left out.
        hear: Hears how far they are read, and what is assumed of a model without a card.

    Raises:
        StoreError: If there is no model, its card does not say how images are prepared, or it has none and is not a
            classifier of images.
        DataError: If the images cannot be read, the model knows none of their classes, or it has no card and another
            number of classes.
    """
    if path.exists() and not get_card_path(path).exists():
        return _evaluate_foreign(path, data, hear)
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


def _evaluate_foreign(path: Path, data: str, hear: Hear) -> Scores:
    model = load_foreign(path)
    height, width, channels = model.inputs[0].shape[1:]
    config = DataConfig(path=data, channels=channels, resize="stretch")
    if height and width:
        config = config.model_copy(update={"image_size": [height, width]})
    images = load_images(config, hear)
    classes = sorted(images.class_names)
    if len(classes) != model.outputs[0].shape[-1]:
        raise DataError(
            f"{images.source}: holds {len(classes)} classes, but {path} has {model.outputs[0].shape[-1]} outputs; "
            "expected one for each class, in the order of their names"
        )
    split = images.relabel(classes)
    shape = "x".join(map(str, split.images.shape[1:]))
    hear(
        Note(
            f"{path} has no model card: it is given pixels 0..255, images stretched to {shape}, and its outputs are "
            f"taken for {', '.join(classes)}, in this order"
        )
    )
    predictions = _predict(model, split, classes)
    probabilities, remark = as_probabilities(path, predictions.probabilities)
    if remark:
        hear(Note(remark))
    return score(replace(predictions, probabilities=probabilities))


def _predict(model: Any, split: Split, class_names: Sequence[str]) -> Predictions:
    return Predictions(split.names, split.labels, predict(model, split.images), class_names, split.images)
