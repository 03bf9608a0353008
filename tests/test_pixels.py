"""Networks that scale pixels themselves are found, however they do it."""

from collections.abc import Callable
from typing import Any

import pytest

from searchcnn.backend import start_keras

start_keras()

import keras  # noqa: E402

from searchcnn.pixels import own_range  # noqa: E402

layers, applications, ops = keras.layers, keras.applications, keras.ops


def network(first: Callable[[Any], Any], channels: int = 3) -> Any:
    images = keras.Input((32, 32, channels))
    return keras.Model(images, layers.Dense(4, activation="softmax")(layers.Flatten()(first(images))))


def per_image(x: Any) -> Any:
    return (x - ops.mean(x, (1, 2, 3), keepdims=True)) / (ops.std(x, (1, 2, 3), keepdims=True) + 1e-3)


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (layers.Rescaling(1 / 255), "0..255"),
        (layers.Rescaling(1 / 127.5, -1), "0..255"),
        (lambda x: x / 255, "0..255"),
        (lambda x: 1 - x / 255, "0..255"),
        (lambda x: (x - 127) / 128, "0..255"),
        (layers.Normalization(mean=[123.0, 116.0, 103.0], variance=[3364.0] * 3), "0..255"),
        (applications.resnet50.preprocess_input, "0..255"),
        (applications.densenet.preprocess_input, "0..255"),
        (applications.mobilenet_v2.preprocess_input, "0..255"),
        (keras.Sequential([layers.RandomFlip(), layers.Resizing(16, 16), layers.Rescaling(1 / 255)]), "0..255"),
        (lambda x: layers.Rescaling(1 / 255)(layers.ZeroPadding2D(2)(x)), "0..255"),
        (lambda x: layers.BatchNormalization()(x / 255), "0..255"),
        (lambda x: (x - 0.5) * 2, "0..1"),
        (layers.Normalization(mean=0.5, variance=0.06), "0..1"),
        (lambda x: 1 - x, "0..1"),
        (lambda x: x, None),
        (applications.efficientnet.preprocess_input, None),
        (layers.Rescaling(1.0), None),
        (lambda x: ops.clip(x, 0, 1), None),
        (per_image, None),
        (lambda x: layers.BatchNormalization()(x), None),
        (lambda x: layers.Rescaling(1 / 255)(layers.Conv2D(4, 3)(x)), None),
    ],
)
def test_what_reaches_the_first_weights(first: Any, expected: str | None) -> None:
    assert own_range(network(first)) == expected


def test_networks_that_hold_their_scaling() -> None:
    arguments = {"weights": None, "include_top": False, "input_shape": (32, 32, 3), "pooling": "avg"}
    for make, expected in ((applications.MobileNetV3Small, "0..255"), (applications.MobileNet, None)):
        inner = make(**arguments)
        images = keras.Input((32, 32, 3))
        nested = keras.Model(images, layers.Dense(4)(inner(images)))
        for model in (inner, keras.Sequential([keras.Input((32, 32, 3)), inner, layers.Dense(4)]), nested):
            assert own_range(model) == expected


def test_images_of_any_size_one_channel_and_bytes() -> None:
    for shape, dtype in (((None, None, 3), "float32"), ((8, 8, 1), "uint8")):
        images = keras.Input(shape, dtype=dtype)
        x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(images)))
        assert own_range(keras.Model(images, x)) == "0..255"
