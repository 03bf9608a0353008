"""Verifies that a saved model works without searchcnn: plain Keras loads it in a new process and predicts the same."""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from searchcnn.errors import StudyFailedError
from searchcnn.results.formats import find_format

TOLERANCE = 1e-4
"""Largest difference between probabilities; float32 sums depend a little on the order of the additions."""


def verify(model: Path, images: npt.NDArray[np.uint8], probabilities: npt.NDArray[np.float32]) -> None:
    """Loads a saved model with plain Keras, in safe mode, in a process without searchcnn, and compares predictions.

    Args:
        model: The file, of one of `searchcnn.results.formats`.
        images: Raw pixels, shape (batch, height, width, channels).
        probabilities: What the trained network predicts for them, shape (batch, classes).

    Raises:
        StudyFailedError: If it does not load, or predicts something else.
    """
    with verify_meanwhile(model, images, lambda: probabilities):
        pass


@contextlib.contextmanager
def verify_meanwhile(
    model: Path, images: npt.NDArray[np.uint8], predict: Callable[[], npt.NDArray[np.float32]]
) -> Iterator[None]:
    """Verifies a model like `verify`, while the body runs.

    Args:
        model: The file, of one of `searchcnn.results.formats`.
        images: Raw pixels, shape (batch, height, width, channels).
        predict: Returns what the trained network predicts for them; called before the body.

    Raises:
        StudyFailedError: If it does not load, or predicts something else.
    """
    with tempfile.TemporaryDirectory() as folder:
        inputs, outputs, log = (Path(folder) / name for name in ("images.npy", "predictions.npy", "errors"))
        np.save(inputs, images)
        command = [sys.executable, "-c", find_format(model).script, str(model.resolve()), str(inputs), str(outputs)]
        with log.open("w") as file:
            process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file, start_new_session=True)
        try:
            probabilities = predict()
            yield
            if process.wait() != 0:
                raise StudyFailedError(_describe_failure(model, log.read_text(errors="replace")))
        finally:
            process.kill()
            process.wait()
        _compare(model, np.load(outputs), probabilities)


def _describe_failure(model: Path, errors: str) -> str:
    message = (errors.strip().splitlines() or ["no message"])[-1]
    return f"{model}: {find_format(model).failure.format(message)}"


def _compare(model: Path, loaded: npt.NDArray[np.float32], probabilities: npt.NDArray[np.float32]) -> None:
    if not np.allclose(loaded, probabilities, rtol=0.0, atol=TOLERANCE, equal_nan=True):
        difference = np.abs(loaded - probabilities).max()
        raise StudyFailedError(
            f"{model}: the saved model's predictions differ from the trained network's by {difference:.2g}"
        )
