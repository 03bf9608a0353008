"""Proves that a saved model works without searchcnn: plain Keras loads it in a fresh process and predicts the same."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from searchcnn.errors import StudyFailedError

TOLERANCE = 1e-4
"""Largest difference of a probability; float32 sums differ a little with the order of the additions."""

SCRIPT = """
import sys
import numpy, keras
model, images, predictions = sys.argv[1:]
numpy.save(predictions, keras.models.load_model(model).predict(numpy.load(images), verbose=0).astype("float32"))
assert "searchcnn" not in sys.modules
"""


def verify(model: Path, images: npt.NDArray[np.uint8], probabilities: npt.NDArray[np.float32]) -> None:
    """Loads a saved model with plain Keras, in safe mode, in a process without searchcnn, and compares predictions.

    Args:
        model: The `.keras` file.
        images: Raw pixels, shape (batch, height, width, channels).
        probabilities: What the trained network predicts for them, shape (batch, classes).

    Raises:
        StudyFailedError: If it does not load or predicts something else.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, predicted = Path(folder) / "images.npy", Path(folder) / "predictions.npy"
        np.save(given, images)
        command = [sys.executable, "-c", SCRIPT, str(model.resolve()), str(given), str(predicted)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, start_new_session=True)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise StudyFailedError(
                f"{model}: plain Keras cannot load the saved model: {last}; a search space may use stock layers only"
            )
        loaded = np.load(predicted)
    if not np.allclose(loaded, probabilities, rtol=0.0, atol=TOLERANCE, equal_nan=True):
        difference = np.abs(loaded - probabilities).max()
        raise StudyFailedError(
            f"{model}: the saved model's predictions differ from the trained network's by {difference:.2g}"
        )
