"""Networks that end as Keras users often end them: without a softmax, or with one probability for two classes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.errors import PluginError

start_keras()

import keras  # noqa: E402

from searchcnn.training import Recipe, make_classifier  # noqa: E402
from searchcnn.training.labels import find_label_form  # noqa: E402
from searchcnn.training.last_layer import complete_outputs, is_compiled  # noqa: E402
from searchcnn.training.network import compile_model  # noqa: E402

SHAPE = (8, 8, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, *SHAPE), np.uint8)
LABELS = np.array([0, 1, 1, 0, 1, 0])
layers = keras.layers


def make_net(width: int, activation: str | None = None, **compiled: Any) -> Any:
    model = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(width, activation)])
    if compiled:
        model.compile("sgd", **compiled)
    return model


def test_a_layer_without_activation_gets_a_softmax(tmp_path: Path) -> None:
    model = complete_outputs(make_net(10), 10)
    make_classifier(model, SHAPE).save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    assert np.allclose(loaded(IMAGES).numpy().sum(axis=1), 1)


def test_a_head_without_activation_gets_one_too() -> None:
    images = keras.Input(SHAPE)
    x = layers.Flatten()(images)
    model = complete_outputs(keras.Model(images, [layers.Dense(10, "softmax")(x), layers.Dense(10)(x)]), 10)
    assert all(np.allclose(output.numpy().sum(axis=1), 1) for output in model(IMAGES / 255))


@pytest.mark.parametrize("model", [make_net(10, "softmax"), make_net(2, "sigmoid"), make_net(10, loss="mse")])
def test_other_networks_stay_as_they_are(model: Any) -> None:
    before = model.layers[-1].activation
    assert complete_outputs(model, model.output_shape[-1]) is model
    assert model.layers[-1].activation is before


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_one_probability_for_two_classes_becomes_two(activation: str | None, tmp_path: Path) -> None:
    single = make_net(1, activation)
    model = complete_outputs(single, 2)
    second = single(IMAGES / 255).numpy()
    assert np.allclose(model(IMAGES / 255), np.concatenate([1 - second, second], axis=1), atol=1e-6)
    compile_model(model, Recipe(1, 1, 8, "sgd", 0.1), 1)
    model.fit(IMAGES / 255, LABELS, verbose=0)
    make_classifier(model, SHAPE).save(tmp_path / "x.keras")
    loaded = keras.models.load_model(tmp_path / "x.keras")
    assert np.allclose(loaded(IMAGES), model(IMAGES / np.float32(255)), atol=1e-5)


def test_a_compiled_one_is_trained_as_before() -> None:
    def train(prepare: Callable[[Any], Any], labels: Any) -> tuple[Any, Any]:
        keras.utils.set_random_seed(0)
        model = prepare(make_net(1, "sigmoid", loss="binary_crossentropy", metrics=["accuracy"]))
        history = model.fit(IMAGES / 255, labels, epochs=3, verbose=0).history
        return history, model.get_weights()

    def pair(model: Any) -> Any:
        model = complete_outputs(model, 2)
        assert is_compiled(model)
        assert find_label_form(model).one_hot == (True,)
        return model

    history, weights = train(pair, np.eye(2)[LABELS])
    expected, others = train(lambda model: model, LABELS[:, None])
    assert history.keys() == expected.keys() == {"loss", "accuracy"}
    assert all(np.allclose(history[key], expected[key], atol=1e-5) for key in expected)
    assert all(np.allclose(*pair, atol=1e-5) for pair in zip(weights, others, strict=True))


def own_loss(y_true: Any, y_pred: Any) -> Any:
    return keras.losses.binary_crossentropy(y_true, y_pred)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            keras.losses.BinaryCrossentropy(from_logits=True),
            "from_logits=True, .* leave from_logits out, or",
        ),
        (own_loss, r"cannot be taken over \(.*\); end the network with Dense\(2, activation='softmax'\)"),
    ],
)
def test_what_cannot_be_compiled_again_says_what_to_change(loss: Any, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        complete_outputs(make_net(1, "sigmoid", loss=loss), 2)
