"""What the best model predicts for the images of its dataset, kept beside it for readers who have no Keras."""

from pathlib import Path
from zipfile import is_zipfile

import numpy as np

from searchcnn.files import guard_writing, replace_file
from searchcnn.results.scores import Predictions


def write_predictions(path: Path, predictions: Predictions, model: str, images: int | None = None) -> None:
    """Writes predictions without their images.

    Args:
        path: The file, as `searchcnn.study.Workspace.predictions` has it.
        predictions: The predictions, in the order of the part; or those of a sample of its images.
        model: The hash of the model's file, which says whose they are.
        images: Number of images of the part, if these are a sample.

    Raises:
        StoreError: If they cannot be written.
    """
    with guard_writing(path), replace_file(path) as new, new.open("wb") as file:
        np.savez_compressed(
            file,
            names=np.array(predictions.names, dtype=str),
            labels=predictions.labels,
            probabilities=predictions.probabilities.astype(np.float32),
            class_names=np.array(predictions.class_names, dtype=str),
            model=np.array(model),
            images=np.array(len(predictions) if images is None else images),
        )


def read_predictions(path: Path, model: str, whole: bool = False) -> Predictions | None:
    """Returns what a model predicts; None if that is not known: there is no file, or it is another model's.

    Args:
        path: The file, as `searchcnn.study.Workspace.predictions` has it.
        model: The hash of the model's file.
        whole: Whether a sample of the part's images is not enough.
    """
    if not is_zipfile(path):  # none, or damaged: NumPy would leave it open
        return None
    try:
        with np.load(path) as file:
            if str(file["model"]) != model or (whole and len(file["labels"]) < file["images"]):
                return None
            return Predictions(
                file["names"].tolist(), file["labels"], file["probabilities"], file["class_names"].tolist()
            )
    except (OSError, ValueError, KeyError):  # it can be made again
        return None
