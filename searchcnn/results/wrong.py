"""Writes the images that a model gets wrong, or that are likely filed under the wrong class, for people to look at."""

import csv
from collections.abc import Sequence
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
    with guard_writing(folder):
        return _write(predictions, folder)


def _write(predictions: Predictions, folder: Path) -> int:
    wrong, predicted = predictions.find_wrong(), predictions.predicted
    with (folder / LIST).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["picture", "image", "class", "predicted", "probability", "probability_of_class"])
        for rank, index in enumerate(map(int, wrong), 1):
            name, label = predictions.names[index], predictions.labels[index]
            classes = [predictions.class_names[number] for number in (label, predicted[index])]
            texts = [clean_name(text) for text in (*classes, Path(name).stem)]
            picture = "{:04} {} taken for {}, {}.png".format(rank, *texts)
            _save_picture(predictions.images, index, folder / picture)
            shares = (predictions.confidence[index], predictions.probabilities[index, label])
            table.writerow([picture, name, *classes, *(f"{share:.4f}" for share in shares)])
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
    rows = {name: row for row, name in enumerate(images.names)}
    with guard_writing(folder), (folder / LABELS).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["picture", "image", "class", "looks_like", "probability", "probability_of_class"])
        for rank, error in enumerate(errors, 1):
            texts = [clean_name(text) for text in (error.label, error.suggested, Path(error.name).stem)]
            picture = "{:04} {} looks like {}, {}.png".format(rank, *texts)
            _save_picture(images.images, rows[error.name], folder / picture)
            shares = (error.probability, error.probability_of_label)
            table.writerow([picture, error.name, error.label, error.suggested, *(f"{share:.4f}" for share in shares)])


def _save_picture(images: Any, index: int, path: Path) -> None:
    from PIL import Image

    pixels = images[index : index + 1][0]
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)
