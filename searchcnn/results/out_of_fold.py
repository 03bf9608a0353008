"""Keeps what networks predict for images of folds that they were not trained on, for readers who have no Keras."""

from pathlib import Path

from searchcnn.results.scores import Predictions
from searchcnn.results.stored import read_predictions, write_predictions

MAX_FOLDS = 20
"""Maximum number of folds."""


def write_out_of_fold(path: Path, predictions: Predictions, model: str, folds: int) -> None:
    """Writes predictions without their images.

    Args:
        path: The file, ending in ``.npz``.
        predictions: The predictions.
        model: The hash of the file of the model whose network was trained on the folds.
        folds: Number of folds.

    Raises:
        StoreError: If they cannot be written.
    """
    write_predictions(path, predictions, _make_key(model, folds))


def read_out_of_fold(path: Path, model: str, folds: int) -> Predictions | None:
    """Returns what `write_out_of_fold` has written; None if that is nothing, or of another model or other folds."""
    return read_predictions(path, _make_key(model, folds))


def _make_key(model: str, folds: int) -> str:
    return f"{model} {folds}"
