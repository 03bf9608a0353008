"""Writes the images that a model gets wrong, or that are likely filed under the wrong class, for people to look at."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from searchcnn.data import Split
from searchcnn.errors import UsageError
from searchcnn.files import check_writable, clean_name, guard_writing
from searchcnn.results.label_errors import LabelError
from searchcnn.results.scores import Predictions

LIST, LABELS = "wrong.csv", "labels.csv"
"""Names of the files that list the images."""


def make_folder(folder: Path) -> None:
    """Makes a folder for images, before any time is spent on finding them.

    Raises:
        UsageError: If it holds something.
        StoreError: If it cannot be written.
    """
    check_writable(folder)
    if any(folder.iterdir()):
        raise UsageError(f"{folder} already holds something; name a new or empty folder")


def write_wrong(predictions: Predictions, folder: Path) -> int:
    """Writes each image that is taken for another class, as the network gets it, and a list of them.

    Args:
        predictions: With their images.
        folder: A folder that `make_folder` has made. The files are numbered, the most confident mistake first.

    Returns:
        The number of images.

    Raises:
        StoreError: If the folder cannot be written.
    """
    wrong = list(map(int, predictions.find_wrong()))
    rows = [(index, *predictions.describe(index).values()) for index in wrong]
    _write(folder / LIST, "predicted", "taken for", rows, predictions.images)
    return len(wrong)


def write_label_errors(errors: Sequence[LabelError], images: Split, folder: Path) -> None:
    """Writes the images that are likely filed under the wrong class, as networks get them, and a list of them.

    Args:
        errors: The images, the most likely first.
        images: Images among which they are, by name.
        folder: A folder that `make_folder` has made. The files are numbered, the most likely first.

    Raises:
        StoreError: If the folder cannot be written.
    """
    places = {name: place for place, name in enumerate(images.names)}
    rows = [(places[error.name], *astuple(error)) for error in errors]
    _write(folder / LABELS, "looks_like", "looks like", rows, images.images)


def _write(path: Path, column: str, verb: str, rows: Iterable[tuple[Any, ...]], images: Any) -> None:
    """Writes images and a list of them.

    Args:
        path: The list.
        column: Heading of the other class.
        verb: What stands between the two classes in the name of a picture.
        rows: The place of each image among the images, its name, its class and the other one, and the probabilities of
            the other one and of its own.
        images: Pixels, uint8 of shape (images, height, width, channels).
    """
    with guard_writing(path.parent), path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["picture", "image", "class", column, "probability", "probability_of_class"])
        for rank, (place, name, label, other, *shares) in enumerate(rows, 1):
            first, second, stem = (clean_name(text) for text in (label, other, Path(name).stem))
            picture = f"{rank:04} {first} {verb} {second}, {stem}.png"
            _save_picture(images, place, path.with_name(picture))
            table.writerow([picture, name, label, other, *(f"{share:.4f}" for share in shares)])


def _save_picture(images: Any, index: int, path: Path) -> None:
    from PIL import Image

    pixels = images[index : index + 1][0]
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)
