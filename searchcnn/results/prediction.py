"""Classifies image files with a saved model, decoded exactly as in training."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from searchcnn.data import Preparation
from searchcnn.data.decoding import read_file, try_reading
from searchcnn.data.formats import FORMAT_NAMES
from searchcnn.data.metadata import silence_pillow
from searchcnn.errors import UsageError
from searchcnn.graph import expose_features
from searchcnn.results.card import read_card, read_preparation
from searchcnn.results.export import load_model, predict_with_features
from searchcnn.results.neighbors import Neighbors, read_neighbors
from searchcnn.sources.image_folder import list_entries
from searchcnn.sources.layout import is_image

BATCH = 256
"""Number of images that are decoded and classified together."""


@dataclass(frozen=True)
class Prediction:
    """The classes that a model predicts for an image.

    Attributes:
        file: The image.
        probabilities: Probability of each class by name, the highest first; empty if the file cannot be read.
        problem: Why it cannot be read; empty if it can.
        sure: Whether the most probable class can be relied on: it is as probable as the model's card asks for, and the
            image is not unlike all others; None where the card does not say.
        unlike: Whether the image is unlike all that the model knows; None where nothing beside the model tells.
    """

    file: Path
    probabilities: Mapping[str, float]
    problem: str = ""
    sure: bool | None = None
    unlike: bool | None = None

    def rank(self, count: int) -> list[tuple[str, float]]:
        """Returns the most probable classes, each with its probability."""
        return list(self.probabilities.items())[:count]


@dataclass(frozen=True)
class Classifier:
    """A model, and what its card says.

    Attributes:
        model: The model, with its features if there are neighbours.
        classes: Name of each class by label.
        preparation: How images become pixels.
        threshold: Probability of the most probable class that is enough to be sure; None if that is not known.
        neighbors: The images that it knows, if they are kept.
    """

    model: Any
    classes: Sequence[str]
    preparation: Preparation
    threshold: float | None
    neighbors: Neighbors | None

    def classify(self, files: Iterable[Path]) -> Iterator[Prediction]:
        """Classifies files, one batch after the other; see `classify`."""
        rest = iter(files)
        while batch := list(itertools.islice(rest, BATCH)):
            with silence_pillow():
                images = [try_reading(partial(_read, file, self.preparation)) for file in batch]
            pixels = [image for image in images if not isinstance(image, str)]
            rows = self._predict(np.stack(pixels)) if pixels else iter(())
            for file, image in zip(batch, images, strict=True):
                yield Prediction(file, {}, image) if isinstance(image, str) else self._describe(file, *next(rows))

    def _predict(self, pixels: npt.NDArray[np.uint8]) -> Iterator[tuple[npt.NDArray[np.float32], bool | None]]:
        """Yields the probabilities of each image, and whether it is unlike all others."""
        probabilities, features = predict_with_features(self.model, pixels)
        if self.neighbors is None or features is None:
            yield from zip(probabilities, itertools.repeat(None))
        else:
            yield from zip(probabilities, self.neighbors.find_unlike(features).tolist(), strict=True)

    def _describe(self, file: Path, probabilities: npt.NDArray[np.float32], unlike: bool | None) -> Prediction:
        is_sure = None if self.threshold is None else bool(probabilities.max() >= self.threshold and not unlike)
        return Prediction(file, _rank(self.classes, probabilities), sure=is_sure, unlike=unlike)


def classify(model: Path, files: Iterable[Path]) -> Iterator[Prediction]:
    """Classifies image files.

    Args:
        model: A ``.keras`` file of a study, or an exported one, with its card next to it.
        files: The images, of any size and in any format that Pillow reads.

    Returns:
        One prediction for each file, in the same order, as soon as it is made.

    Raises:
        StoreError: If the model cannot be loaded, or its card does not say how images are prepared.
    """
    card = read_card(model)
    neighbors = read_neighbors(model, card["sha256"])
    network = load_model(model)
    classifier = Classifier(
        expose_features(network) if neighbors else network,
        card["classes"],
        read_preparation(model, card),
        (card.get("sure") or {}).get("threshold"),
        neighbors,
    )
    return classifier.classify(files)


def list_images(paths: Iterable[Path]) -> list[Path]:
    """Returns the files, and the images in the folders, sorted by name.

    Raises:
        UsageError: If one of them does not exist, or a folder contains no image.
    """
    return [file for path in paths for file in _list_files(path)]


def _list_files(path: Path) -> list[Path]:
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; expected an image or a folder of images")
    if not path.is_dir():
        return [path]
    files = sorted(Path(entry.path) for entry in list_entries(path) if is_image(entry.name))
    if not files:
        raise UsageError(f"{path}: holds no images; expected {FORMAT_NAMES} files")
    return files


def _read(file: Path, preparation: Preparation) -> npt.NDArray[np.uint8]:
    return preparation.read(read_file(file))


def _rank(classes: Sequence[str], probabilities: npt.NDArray[np.float32]) -> dict[str, float]:
    return {classes[label]: float(probabilities[label]) for label in np.argsort(-probabilities, kind="stable")}
