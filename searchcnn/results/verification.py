"""Verifies that a saved model works without searchcnn: plain Keras loads it in a new process and predicts the same."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from searchcnn.backend import find_gpus, read_backend
from searchcnn.errors import StudyFailedError
from searchcnn.results.formats import find_format

CHECK_SECONDS, JAX_CHECK_SECONDS = 6.0, 15.0
"""How long a check takes: a process imports Keras, loads the model and predicts; with JAX, it compiles what it does."""
ENVIRONMENT = {"JAX_PLATFORMS": "cpu"}
"""What the process of a check finds in its environment: for a few images, JAX would compile for a GPU for seconds."""
TOLERANCE, GPU_TOLERANCE = 1e-4, 1e-2
"""Largest difference between probabilities; float32 sums depend a little on the order of the additions. GPUs multiply
with 11 bits unless they are told otherwise, and each process chooses its own algorithms: of two that had the same
weights, 0.00016 was measured after a single step of training (JAX 0.11.2, H200)."""


def estimate_seconds() -> float:
    """Returns how long a check takes, about."""
    return JAX_CHECK_SECONDS if read_backend() == "jax" else CHECK_SECONDS


def choose_tolerance() -> float:
    """Returns the largest difference between probabilities that rounding explains."""
    return GPU_TOLERANCE if find_gpus() else TOLERANCE


def verify(model: Path, images: npt.NDArray[np.uint8], probabilities: npt.NDArray[np.float32]) -> None:
    """Loads a saved model with plain Keras, in safe mode, in a process without searchcnn, and compares predictions.

    Args:
        model: The file, of one of `searchcnn.results.formats`.
        images: Raw pixels, shape (batch, height, width, channels).
        probabilities: What the trained network predicts for them, shape (batch, classes).

    Raises:
        StudyFailedError: If it does not load, or predicts something else.
    """
    with verify_meanwhile({model: probabilities}, images):
        pass


@contextlib.contextmanager
def verify_meanwhile(models: Mapping[Path, npt.NDArray[np.float32]], images: npt.NDArray[np.uint8]) -> Iterator[None]:
    """Verifies models like `verify`, all of them in one process, while the body runs.

    Args:
        models: What the trained networks predict for the images, by file, all of one of `searchcnn.results.formats`.
        images: Raw pixels, shape (batch, height, width, channels).

    Raises:
        StudyFailedError: If one does not load, or predicts something else.
    """
    with tempfile.TemporaryDirectory() as folder:
        inputs, log = Path(folder, "images.npy"), Path(folder, "errors")
        outputs = {model: Path(folder, f"{number}.npy") for number, model in enumerate(models)}
        np.save(inputs, images)
        files = [str(path) for model, output in outputs.items() for path in (model.resolve(), output)]
        script = find_format(next(iter(models))).script
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", script, str(inputs), *files],
                env={**os.environ, **ENVIRONMENT},
                cwd=folder,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        try:
            yield
            if process.wait() != 0:
                failed = next((model for model, output in outputs.items() if not output.exists()), next(iter(models)))
                raise StudyFailedError(_describe_failure(failed, log.read_text(errors="replace")))
        finally:
            process.kill()
            process.wait()
        for model, probabilities in models.items():
            _compare(model, np.load(outputs[model]), probabilities)


def verify_here(model: Path, network: Any, images: npt.NDArray[np.uint8]) -> None:
    """Loads a saved model in this process, in safe mode, and compares its predictions with those of the network.

    Args:
        model: The file, an ordinary Keras file.
        network: What was saved.
        images: Raw pixels, shape (batch, height, width, channels).

    Raises:
        StudyFailedError: If it does not load, or predicts something else.
    """
    import keras

    from searchcnn.graph import as_array

    try:
        loaded = keras.models.load_model(model)
    except Exception as error:  # Keras raises almost anything on a file that it does not know
        raise StudyFailedError(_describe_failure(model, str(error))) from error
    is_slow = keras.backend.backend() == "jax"  # which compiles each operation
    predict, expect = [each.predict_on_batch if is_slow else each for each in (loaded, network)]
    _compare(model, as_array(predict(images)), as_array(expect(images)))


def _describe_failure(model: Path, errors: str) -> str:
    message = (errors.strip().splitlines() or ["no message"])[-1]
    return f"{model}: {find_format(model).failure.format(message)}"


def _compare(model: Path, loaded: npt.NDArray[np.float32], probabilities: npt.NDArray[np.float32]) -> None:
    if not np.allclose(loaded, probabilities, rtol=0.0, atol=choose_tolerance(), equal_nan=True):
        difference = np.abs(loaded - probabilities).max()
        raise StudyFailedError(
            f"{model}: the saved model's predictions differ from the trained network's by {difference:.2g}"
        )
