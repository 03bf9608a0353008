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
from searchcnn.results.card import read_card, read_preparation
from searchcnn.results.export import load_model, predict
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
    """

    file: Path
    probabilities: Mapping[str, float]
    problem: str = ""

    def rank(self, count: int) -> list[tuple[str, float]]:
        """Returns the most probable classes, each with its probability."""
        return list(self.probabilities.items())[:count]


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
    preparation = read_preparation(model, card)
    return _classify_batches(load_model(model), card["classes"], preparation, files)


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


def _classify_batches(
    model: Any, classes: Sequence[str], preparation: Preparation, files: Iterable[Path]
) -> Iterator[Prediction]:
    rest = iter(files)
    while batch := list(itertools.islice(rest, BATCH)):
        with silence_pillow():
            images = [try_reading(partial(_read, file, preparation)) for file in batch]
        pixels = [image for image in images if not isinstance(image, str)]
        rows = iter(predict(model, np.stack(pixels)) if pixels else ())
        for file, image in zip(batch, images, strict=True):
            if isinstance(image, str):
                yield Prediction(file, {}, problem=image)
            else:
                yield Prediction(file, _rank(classes, next(rows)))


def _read(file: Path, preparation: Preparation) -> npt.NDArray[np.uint8]:
    return preparation.read(read_file(file))


def _rank(classes: Sequence[str], probabilities: npt.NDArray[np.float32]) -> dict[str, float]:
    return {classes[label]: float(probabilities[label]) for label in np.argsort(-probabilities, kind="stable")}
