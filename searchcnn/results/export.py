"""Saves networks as ordinary Keras files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from searchcnn.errors import StoreError, UsageError, get_first_line
from searchcnn.files import replace_file
from searchcnn.results.card import find_card, hash_file, read_card, write_card
from searchcnn.results.formats import find_format
from searchcnn.results.neighbors import read_neighbors, write_neighbors
from searchcnn.results.verification import verify

SAMPLE = 16
"""Number of images on which a saved model is compared with the trained network."""
SLICE = 2048
"""Number of images that are read at once to predict their classes."""


def save_model(path: Path, network: Any, card: Mapping[str, Any]) -> None:
    """Saves a classifier and its card; an older file is replaced in one step.

    Args:
        path: The file, ending in ``.keras``.
        network: A Keras model from raw pixels to class probabilities; see `searchcnn.training.make_classifier`.
        card: Facts for the model card.
    """
    with replace_file(path) as new:
        network.save(new)
        fingerprint = hash_file(new)
    write_card(path, {**card, "sha256": fingerprint})


def predict(model: Any, images: Any) -> npt.NDArray[np.float32]:
    """Returns class probabilities.

    Args:
        model: A saved classifier.
        images: Raw pixels, shape (samples, height, width, channels); they need not be in memory.

    Returns:
        Shape (samples, classes).
    """
    return predict_with_features(model, images)[0]


def predict_with_features(model: Any, images: Any) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None]:
    """Returns class probabilities, and the features that they are computed from.

    Args:
        model: A saved classifier, from `searchcnn.graph.expose_features`; without features if it is not.
        images: As in `predict`.

    Returns:
        Shape (samples, classes), and (samples, features).
    """
    starts = range(0, len(images), SLICE)
    parts = [model.predict(images[start : start + SLICE], batch_size=256, verbose=0) for start in starts]
    outputs = zip(*(part if isinstance(part, list) else [part] for part in parts), strict=True)
    probabilities, *features = (np.concatenate(output).astype(np.float32) for output in outputs)  # not bfloat16
    return probabilities, features[0].reshape(len(probabilities), -1) if features else None


def load_model(path: Path, compiled: bool = True) -> Any:
    """Loads a saved model.

    Args:
        path: The file.
        compiled: Whether to load what it was trained with, too.

    Raises:
        StoreError: If Keras cannot load it.
    """
    import keras

    try:
        return keras.models.load_model(path, compile=compiled)
    except Exception as error:  # Keras raises almost anything on a file that it does not know
        remedy = "its card says which version saved it" if find_card(path) else "expected a model of stock layers"
        raise StoreError(
            f"{path}: Keras {keras.__version__} cannot load it: {get_first_line(error)}; {remedy}"
        ) from error


def export_model(source: Path, target: Path) -> None:
    """Writes a study's model, its card and what it knows elsewhere, in the format of the target's name; verifies them.

    Raises:
        UsageError: If the target's name or folder is invalid.
        StoreError: If there is no model, or a better one has just replaced it.
        StudyFailedError: If what was written does not work, in a fresh process.
    """
    format = find_format(target)
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent}: no such folder")
    if target.resolve() == source.resolve():
        raise UsageError(f"{target} is the study's own model; name another file")
    card = read_card(source)
    try:
        with replace_file(target) as new:
            format.write(source, new)
            if hash_file(source) != card["sha256"]:
                raise StoreError(f"{source} has been replaced by a better model; export it again")
            _verify_export(source, new, card)
            fingerprint = hash_file(new)
        write_card(target, {**card, "sha256": fingerprint})
        if neighbors := read_neighbors(source, card["sha256"]):
            write_neighbors(target, neighbors, fingerprint)
    except OSError as error:
        raise UsageError(f"{target}: cannot be written: {error.strerror or error}") from None


def _verify_export(source: Path, target: Path, card: Mapping[str, Any]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (SAMPLE, *card["input_shape"]), dtype=np.uint8)
    verify(target, images, predict(load_model(source), images))
