"""What the tools of `benchmarks/peers.py` share: the images, a search space as tutorials have it, and what is recorded.

Each tool is a script: ``python TOOL.py IMAGES.npz SECONDS SEED FOLDER``. It writes ``FOLDER/model.keras``, which takes
pixels 0..255 and returns class probabilities, and ``FOLDER/record.json``.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

IMAGES, SECONDS, SEED, FOLDER = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
MODEL = FOLDER / "model.keras"
START = psutil.Process().create_time()
END = 0.98
"""Part of the time after which nothing is trained any more."""
BATCH = 128
EPOCHS = 10


def read_part(part: str) -> tuple[Any, Any]:
    """Returns images, uint8 of shape (images, height, width, channels), and class numbers."""
    with np.load(IMAGES) as arrays:
        return arrays[f"x_{part}"], arrays[f"y_{part}"]


def count_seconds() -> float:
    """Returns the seconds since the process began, its imports included."""
    return time.time() - START


def is_over() -> bool:
    """Whether what is left of the time is needed for the last validation, and to save the model."""
    return count_seconds() > END * SECONDS


class Record:
    """What is recorded of a run: each improvement on validation, and when it came."""

    def __init__(self) -> None:
        self.improvements: list[tuple[float, float]] = []

    def note(self, score: float) -> bool:
        """Notes a validation accuracy; returns whether it is the best so far."""
        is_best = not self.improvements or score > self.improvements[-1][1]
        if is_best:
            self.improvements.append((round(count_seconds(), 1), score))
        return is_best

    def write(self, **facts: Any) -> None:
        """Writes the record next to the model."""
        content = {"improvements": self.improvements, **facts}
        (FOLDER / "record.json").write_text(json.dumps(content))


def build(hp: Any, shape: tuple[int, int, int], classes: int) -> Any:
    """Returns a compiled network of the kind that the tutorials of Keras Tuner and Optuna search."""
    import keras
    from keras import layers

    net = [layers.Input(shape), layers.Rescaling(1 / 255)]
    blocks, kernel, has_norm = hp.Int("blocks", 1, 4), hp.Choice("kernel", [3, 5]), hp.Boolean("batch_norm")
    for block in range(blocks):
        net.append(layers.Conv2D(hp.Int(f"filters_{block}", 16, 128, step=16), kernel, padding="same"))
        if has_norm:
            net.append(layers.BatchNormalization())
        net += [layers.ReLU(), layers.MaxPooling2D(padding="same")]
    net += [layers.Flatten(), layers.Dropout(hp.Float("dropout", 0.0, 0.5, step=0.1))]
    for layer in range(hp.Int("dense_layers", 0, 2)):
        net.append(layers.Dense(hp.Int(f"units_{layer}", 32, 256, step=32), activation="relu"))
    net.append(layers.Dense(classes, activation="softmax"))
    rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
    optimizers = {
        "adam": lambda: keras.optimizers.Adam(rate),
        "rmsprop": lambda: keras.optimizers.RMSprop(rate),
        "sgd": lambda: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
    }
    model = keras.Sequential(net)
    optimizer = optimizers[hp.Choice("optimizer", list(optimizers))]()
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
