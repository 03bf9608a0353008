"""Keras classifiers that searchcnn has not saved are scored on a folder of images."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from searchcnn.backend import start_keras
from searchcnn.errors import SearchcnnError
from searchcnn.events import Event, Note

start_keras()

import keras  # noqa: E402

from searchcnn.results import evaluate_on  # noqa: E402

CLASSES = {"white": 250, "black": 5, "grey": 130}
"""The grey value of the images of each class; by name, they are black, grey and white."""


@pytest.fixture
def images(tmp_path: Path) -> str:
    """Returns a folder of images of a size other than that of the network."""
    for name, value in CLASSES.items():
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("L", (9, 6), value + number).save(tmp_path / "images" / name / f"{number}.png")
    return str(tmp_path / "images")


def save(path: Path, activation: str | None, biases: tuple[float, ...] = (0.0, -0.6, -1.4), **options: Any) -> Path:
    """Saves a network whose scores tell dark, middle and bright images by their mean."""
    pixels = keras.Input((8, 8, 1))
    means = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(pixels))
    layer = keras.layers.Dense(len(biases), activation=activation)
    model = keras.Model(pixels, layer(means))
    kernel = np.array([[0.0, 2.0, 3.0, 0.0][: len(biases)]])
    layer.set_weights([10 * kernel, 10 * np.array(biases)])
    if options:
        model.compile(**options)
    model.save(path)
    return path


@pytest.mark.parametrize("activation", ["softmax", None])
def test_outputs_are_probabilities_or_logits(tmp_path: Path, images: str, activation: str | None) -> None:
    notes: list[Event] = []
    model = save(tmp_path / "net.keras", activation, optimizer="adam", loss="sparse_categorical_crossentropy")
    scores = evaluate_on(model, images, notes.append)
    assert (scores.images, scores.accuracy, scores.times_read) == (12, 1.0, 0)
    assert [row.name for row in scores.classes] == ["black", "grey", "white"]
    assert scores.loss < 0.5
    np.testing.assert_allclose(scores.predictions.probabilities.sum(axis=-1), 1, atol=1e-5)
    texts = [note.text for note in notes if isinstance(note, Note)]
    assert texts[0].endswith(
        "net.keras has no model card: it is given pixels 0..255, images stretched to 8x8x1, and its outputs are taken "
        "for black, grey, white, in this order"
    )
    assert any("taken for logits" in text for text in texts) == (activation is None)


@pytest.mark.parametrize(
    ("activation", "biases", "message"),
    [
        ("softmax", (0.0, 0.0), r"holds 3 classes, but .*net.keras has 2 outputs; expected one for each class"),
        ("sigmoid", (0.0, -0.6, -1.4), r"a number 0..1 for each class, but they do not add up to 1"),
        ("sigmoid", (0.0,), r"net.keras: has one output; expected one for each of two classes or more"),
        (None, (0.0, np.nan, 0.0), r"gives numbers that are not finite"),
    ],
)
def test_other_outputs_are_refused(
    tmp_path: Path, images: str, activation: str | None, biases: tuple[float, ...], message: str
) -> None:
    model = save(tmp_path / "net.keras", activation, biases)
    with pytest.raises(SearchcnnError, match=message):
        evaluate_on(model, images)


def test_other_networks_are_refused(tmp_path: Path, images: str) -> None:
    numbers = keras.Input((7,))
    keras.Model(numbers, keras.layers.Dense(3)(numbers)).save(tmp_path / "flat.keras")
    with pytest.raises(
        SearchcnnError, match=r"flat.keras: is a model from \[\(7,\)\] to \[\(3,\)\]; expected one from"
    ):
        evaluate_on(tmp_path / "flat.keras", images)
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(SearchcnnError, match=r"text.keras: Keras .* cannot load it: .*; expected a model of stock"):
        evaluate_on(tmp_path / "text.keras", images)
    with pytest.raises(SearchcnnError, match=r"no such file"):
        evaluate_on(tmp_path / "none.keras", images)


def test_any_size_and_colours(tmp_path: Path, images: str) -> None:
    pixels = keras.Input((None, None, 3))
    means = keras.layers.GlobalAveragePooling2D()(pixels)
    keras.Model(pixels, keras.layers.Dense(3, activation="softmax")(means)).save(tmp_path / "any.keras")
    assert evaluate_on(tmp_path / "any.keras", images).predictions.images.shape == (12, 6, 9, 3)
