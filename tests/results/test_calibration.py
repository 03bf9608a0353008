"""Calibration: probabilities become honest, and no prediction changes."""

from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from searchcnn.backend import start_keras
from searchcnn.data import Dataset
from searchcnn.results.calibration import (
    COLDEST,
    LEAST,
    apply_temperature,
    calibrate,
    divide_scores,
    fit_temperature,
)
from searchcnn.results.scores import Predictions, compute_calibration_error

start_keras()

import keras  # noqa: E402


def make_predictions(probabilities: Any, labels: Any) -> Predictions:
    names = [str(number) for number in range(len(labels))]
    return Predictions(names, np.asarray(labels), probabilities.astype(np.float32), list("abcd"))


def draw(images: int) -> tuple[Any, Any]:
    """Returns scores, and labels that are drawn with the probabilities that these give."""
    random = np.random.default_rng(0)
    scores = random.normal(size=(images, 4)) * 2
    return scores, np.array([random.choice(4, p=row) for row in softmax(scores, axis=-1)])


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_is_found(temperature: float) -> None:
    """The model's scores are too large or too small."""
    scores, labels = draw(20_000)
    predictions = make_predictions(softmax(scores * temperature, axis=-1), labels)
    assert fit_temperature(predictions) == pytest.approx(temperature, rel=0.05)
    honest = apply_temperature(predictions, temperature)
    assert compute_calibration_error(honest) < 0.02
    np.testing.assert_array_equal(honest.predicted, predictions.predicted)
    if temperature != 1.0:
        assert compute_calibration_error(predictions) > 0.05


def test_a_model_without_mistakes_does_not_become_certain() -> None:
    right = np.full((100, 4), 0.1)
    right[:, 2] = 0.7
    predictions = make_predictions(right, np.full(100, 2))
    temperature = fit_temperature(predictions)
    assert temperature > 2 * COLDEST
    assert apply_temperature(predictions, temperature).confidence == pytest.approx(101 / 102, abs=1e-3)


def test_the_last_layer_takes_the_temperature_up(finished: Any, few: Dataset) -> None:
    model = keras.models.clone_model(finished)
    model.set_weights(finished.get_weights())
    images, labels = few.validation.images, few.validation.labels
    before = Predictions([], labels, model.predict(images, verbose=0), few.class_names)
    assert divide_scores(model, 2.5)
    after = model.predict(images, verbose=0)
    np.testing.assert_allclose(after, apply_temperature(before, 2.5).probabilities, atol=1e-5)
    assert model.count_params() == finished.count_params()


def test_what_is_left_alone(few: Dataset) -> None:
    """A network that ends in another way, and one of which too little is known."""
    images = keras.Input((4,))
    other = keras.Model(images, keras.layers.Softmax()(keras.layers.Dense(4)(images)))
    weights = other.get_weights()
    scores, labels = draw(500)
    sure = softmax(scores * 5, axis=-1)
    assert calibrate(other, make_predictions(sure, labels)) is None
    for one, same in zip(other.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, same)
    net = keras.Model(images, keras.layers.Dense(4, activation="softmax")(images))
    assert calibrate(net, make_predictions(sure[: LEAST - 1], labels[: LEAST - 1])) is None
    found = calibrate(net, make_predictions(sure, labels))
    assert found is not None
    assert found.temperature == pytest.approx(5, rel=0.3)
    assert found.error_after < 0.1 < found.error_before
    assert found.loss_after < found.loss_before
    assert calibrate(net, make_predictions(softmax(scores, axis=-1), labels)) is None  # is honest
