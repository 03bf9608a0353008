"""A trained network for the tests of results."""

from pathlib import Path
from typing import Any

import pytest

from searchcnn.data import Dataset


@pytest.fixture(scope="package")
def network(few: Dataset) -> Any:
    """Returns a network that takes pixels scaled to 0..1, trained a little on digits."""
    from searchcnn.backend import start_keras

    start_keras()
    import keras

    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(8, 3, activation="relu")(images)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
    model = keras.Model(images, keras.layers.Dense(10, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(few.train.images / 255, few.train.labels, epochs=3, verbose=0)
    return model


@pytest.fixture(scope="package")
def finished(network: Any) -> Any:
    """Returns that network as a classifier, which takes raw pixels."""
    from searchcnn.training import make_classifier

    return make_classifier(network, (8, 8, 1))


@pytest.fixture
def card(digits: Dataset) -> dict[str, Any]:
    """Returns the facts of a card that later readers need."""
    return {
        "study": "test",
        "input_shape": digits.input_shape,
        "data": {"name": "digits", "fingerprint": digits.fingerprint},
        "scores": {"validation": {"accuracy": 0.5, "images": len(digits.validation)}},
    }


@pytest.fixture
def saved(tmp_path: Path, finished: Any, card: dict[str, Any]) -> Path:
    """Returns the file of a saved model with its card."""
    from searchcnn.results import save_model

    path = tmp_path / "studies" / "test" / "best.keras"
    save_model(path, finished, card)
    return path
