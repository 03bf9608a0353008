"""The pictures that a report shows: what the best model gets wrong, what may be mislabelled, where it looks.

They are chosen when the model is there, and kept beside it in small, so that readers need neither Keras nor the images.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
import numpy.typing as npt

from searchcnn.files import guard_writing, replace_file
from searchcnn.results.label_errors import find_label_errors
from searchcnn.results.scores import Predictions

MISLABELLED, WRONG, UNSURE, RIGHT = "mislabelled", "wrong", "unsure", "right"
"""Why a picture is shown: it may be filed under the wrong class, is taken for another class, or the model is least sure
or most sure of it."""
COUNTS = {MISLABELLED: 8, WRONG: 8, UNSURE: 8, RIGHT: 8}
"""How many validation images of each kind are shown at most, in the order in which they are chosen; none twice."""
TEST_COUNTS = {WRONG: 8}
"""Likewise of test images."""
FOLD_COUNTS = {MISLABELLED: COUNTS[MISLABELLED]}
"""Likewise of images of training and validation that were predicted in folds; they are shown instead of the former."""
SIDE = 128
"""Pixels of the longer side of a picture at most."""


@dataclass(frozen=True, eq=False)
class Picture:
    """An image that a report shows.

    Attributes:
        kind: Why it is shown: "mislabelled", "wrong", "unsure" or "right".
        name: Its name.
        label: The class that it is filed under.
        predicted: The class that it is taken for.
        confidence: Probability of that class.
        probability_of_label: Probability of the class that it is filed under.
        pixels: The image in small, uint8 of shape (height, width, channels).
        activation: Where the network sees the class that it predicts, 0..1 of shape (rows, columns); None if it does
            not tell.
    """

    kind: str
    name: str
    label: str
    predicted: str
    confidence: float
    probability_of_label: float
    pixels: npt.NDArray[np.uint8]
    activation: npt.NDArray[np.float32] | None = None


def choose_images(predictions: Predictions, counts: Mapping[str, int] = COUNTS) -> dict[int, str]:
    """Returns the indices of the images that are worth to be looked at, each with the kind of picture that it is.

    Args:
        predictions: What is predicted.
        counts: The number of images of each kind at most.
    """
    chosen: dict[int, str] = {}
    for kind, count in counts.items():
        others = [index for index in _rank(kind, predictions) if index not in chosen]
        chosen |= dict.fromkeys(others[:count], kind)
    return chosen


def _rank(kind: str, predictions: Predictions) -> Sequence[int]:
    """Returns the indices of the images of a kind, those first that belong to it most."""
    if kind == MISLABELLED:
        places = {name: index for index, name in enumerate(predictions.names)}
        return [places[error.name] for error in find_label_errors(predictions)]
    if kind == WRONG:
        return list(map(int, predictions.find_wrong()))
    confidence = predictions.confidence
    if kind == UNSURE:
        return list(map(int, np.argsort(confidence, kind="stable")))
    order = np.argsort(-confidence, kind="stable")
    right = order[(predictions.predicted == predictions.labels)[order]]
    return list(_take_turns(predictions.labels[right], right))


def _take_turns(labels: npt.NDArray[np.int64], indices: npt.NDArray[np.int64]) -> Iterator[int]:
    """Yields the indices in their order, but the first of each class before the second of any."""
    seen: Counter[int] = Counter()
    turns = []
    for label in map(int, labels):
        turns.append(seen[label])
        seen[label] += 1
    yield from (int(indices[place]) for place in np.argsort(turns, kind="stable"))


def shrink(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Returns an image, shape (height, width, channels), whose longer side is not longer than that of a picture."""
    from PIL import Image

    if max(pixels.shape[:2]) <= SIDE:
        return pixels
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    small: npt.NDArray[np.uint8] = np.asarray(image)
    return small.reshape(*small.shape[:2], pixels.shape[-1])


def make_pictures(
    predictions: Predictions, chosen: Mapping[int, str], images: Any, activations: Sequence[npt.NDArray[np.float32]]
) -> list[Picture]:
    """Returns the pictures of chosen images.

    Args:
        predictions: What is predicted.
        chosen: The images' indices in the predictions, with their kinds.
        images: Their pixels, uint8 of shape (pictures, height, width, channels).
        activations: As in `Picture`, of the first of them.
    """
    pictures = []
    for row, ((index, kind), pixels) in enumerate(zip(chosen.items(), images, strict=True)):
        activation = activations[row] if row < len(activations) else None
        name, label, predicted, *shares = predictions.describe(index).values()
        pictures.append(Picture(kind, name, label, predicted, shares[0], shares[1], shrink(pixels), activation))
    return pictures


def write_pictures(path: Path, pictures: Sequence[Picture], model: str) -> None:
    """Writes pictures to a file.

    Args:
        path: The file, ending in ``.npz``.
        pictures: The pictures.
        model: The hash of the model's file, which says whose they are.

    Raises:
        StoreError: If they cannot be written.
    """
    facts = [
        {key: value for key, value in vars(picture).items() if key not in ("pixels", "activation")}
        for picture in pictures
    ]
    arrays: dict[str, Any] = {f"pixels_{number}": picture.pixels for number, picture in enumerate(pictures)}
    arrays |= {
        f"activation_{number}": picture.activation
        for number, picture in enumerate(pictures)
        if picture.activation is not None
    }
    with guard_writing(path), replace_file(path) as new, new.open("wb") as file:
        np.savez_compressed(file, facts=np.array(json.dumps(facts)), model=np.array(model), **arrays)


def read_pictures(path: Path, model: str) -> list[Picture]:
    """Returns the pictures of a model's predictions; none if they are not known: no file, or another model's.

    Args:
        path: The file.
        model: The hash of the model's file.
    """
    if not is_zipfile(path):
        return []
    try:
        with np.load(path) as file:
            if str(file["model"]) != model:
                return []
            facts = json.loads(str(file["facts"]))
            return [
                Picture(**fact, pixels=file[f"pixels_{number}"], activation=file.get(f"activation_{number}"))
                for number, fact in enumerate(facts)
            ]
    except (OSError, ValueError, KeyError, TypeError):  # it can be made again
        return []
