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
from searchcnn.errors import StoreError, UsageError
from searchcnn.results.card import card_path, read_card
from searchcnn.results.export import load_model, predict
from searchcnn.sources.image_folder import list_entries
from searchcnn.sources.layout import is_image

BATCH = 256
"""Images that are decoded and classified together."""


@dataclass(frozen=True)
class Prediction:
    """What a model takes an image for.

    Attributes:
        file: The image.
        probabilities: Of each class by name, the highest first; empty if the file cannot be read.
        problem: Why it cannot be read; else empty.
    """

    file: Path
    probabilities: Mapping[str, float]
    problem: str = ""


def classify(model: Path, files: Iterable[Path]) -> Iterator[Prediction]:
    """Classifies image files.

    Args:
        model: A ``.keras`` file of a study, or an exported one, with its card beside it.
        files: The images, of any size and any format that Pillow reads.

    Returns:
        One prediction for each file, in their order, as they are made.

    Raises:
        StoreError: If the model cannot be loaded, or its card does not say how images are prepared.
    """
    card = read_card(model)
    preparation = _preparation(model, card)
    return _classified(load_model(model), card["classes"], preparation, files)


def image_files(paths: Iterable[Path]) -> list[Path]:
    """Returns the files, and the images in the folders, in order of their names.

    Raises:
        UsageError: If one of them does not exist, or there is no image in a folder.
    """
    return [file for path in paths for file in _files(path)]


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; expected an image or a folder of images")
    if not path.is_dir():
        return [path]
    found = sorted(Path(entry.path) for entry in list_entries(path) if is_image(entry.name))
    if not found:
        raise UsageError(f"{path}: holds no images; expected {FORMAT_NAMES} files")
    return found


def _preparation(model: Path, card: Mapping[str, Any]) -> Preparation:
    if "preparation" not in card or "classes" not in card:
        raise StoreError(
            f"{card_path(model)} does not say how images are prepared: an older searchcnn has written it; search again "
            "to get a model that does, or load this one with Keras"
        )
    return Preparation(**card["preparation"])


def _classified(
    model: Any, classes: Sequence[str], preparation: Preparation, files: Iterable[Path]
) -> Iterator[Prediction]:
    rest = iter(files)
    while batch := list(itertools.islice(rest, BATCH)):
        with silence_pillow():
            read = [try_reading(partial(_read, file, preparation)) for file in batch]
        pixels = [one for one in read if not isinstance(one, str)]
        rows = iter(predict(model, np.stack(pixels)) if pixels else ())
        for file, one in zip(batch, read, strict=True):
            yield Prediction(file, {}, one) if isinstance(one, str) else Prediction(file, _ranked(classes, next(rows)))


def _read(file: Path, preparation: Preparation) -> npt.NDArray[np.uint8]:
    return preparation.read(read_file(file))


def _ranked(classes: Sequence[str], probabilities: npt.NDArray[np.float32]) -> dict[str, float]:
    return {classes[label]: float(probabilities[label]) for label in np.argsort(-probabilities, kind="stable")}
