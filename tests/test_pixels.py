"""Networks that scale pixels themselves are found, however they do it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras

start_keras()

import keras  # noqa: E402

from searchcnn.pixels import detect_range  # noqa: E402

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
        (lambda x: x / 255 - ops.mean(x / 255, (1, 2, 3), keepdims=True), "0..255"),
        (lambda x: (x - layers.AveragePooling2D(3, 1, "same")(x)) / 255, "0..255"),
        (lambda x: ops.cast(x > 127, "float32"), "0..255"),
        (lambda x: ops.floor(x / 32) / 8, "0..255"),
        (lambda x: ops.sqrt(x / 255), "0..255"),
        (lambda x: ops.tanh(x / 255), "0..255"),
        (lambda x: ops.cast(ops.cast(x, "int32") // 16, "float32"), "0..255"),
        (layers.Discretization([64, 128, 192]), "0..255"),
        (layers.Pipeline([layers.RandomFlip(), layers.Rescaling(1 / 60, -2)]), "0..255"),
        (layers.Normalization(mean=1.5, variance=36.0), "0..255"),
        (lambda x: ops.image.rgb_to_grayscale(x), None),
        (lambda x: ops.image.rgb_to_grayscale(x / 255), "0..255"),
        (layers.MaxPooling2D(), None),
        (lambda x: layers.AveragePooling2D(4)(x / 127.5 - 1), "0..255"),
        (lambda x: (x + 1) * 127.5, None),
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
    assert detect_range(network(first)) == expected


def test_networks_that_hold_their_scaling() -> None:
    arguments = {"weights": None, "include_top": False, "input_shape": (32, 32, 3), "pooling": "avg"}
    for make, expected in ((applications.MobileNetV3Small, "0..255"), (applications.MobileNet, None)):
        inner = make(**arguments)
        images = keras.Input((32, 32, 3))
        nested = keras.Model(images, layers.Dense(4)(inner(images)))
        for model in (inner, keras.Sequential([keras.Input((32, 32, 3)), inner, layers.Dense(4)]), nested):
            assert detect_range(model) == expected


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
def test_half_precision(policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        torch = layers.Normalization(mean=[123.0, 116.0, 103.0], variance=[3364.0] * 3)
        assert detect_range(network(torch)) == detect_range(network(layers.Rescaling(1 / 127.5, -1))) == "0..255"
        assert detect_range(network(layers.Rescaling(2.0, -1))) == "0..1"
        assert detect_range(network(layers.Dropout(0.1))) is None
    finally:
        keras.config.set_dtype_policy("float32")


def test_pixels_that_are_always_the_same_do_not_count() -> None:
    """Statistics of each pixel of digits, whose borders are black: their variance is next to none there."""
    images = np.random.default_rng(0).random((50, 32, 32, 3)) * 255 * (np.arange(32) > 7)[:, None, None]
    adapted = layers.Normalization(axis=(1, 2, 3))
    adapted.adapt(images.astype("float32"))
    assert detect_range(network(adapted)) == "0..255"


@pytest.mark.parametrize("shape", [(8, 8), (64,), (4, 4, 4, 1)])
def test_images_of_other_ranks(shape: tuple[int, ...]) -> None:
    images = keras.Input(shape)
    assert detect_range(keras.Model(images, layers.Dense(3)(layers.Flatten()(images / 255)))) == "0..255"
    assert detect_range(keras.Model(images, layers.Dense(3)(layers.Flatten()(images)))) is None


def test_bytes_are_pixels_as_they_are() -> None:
    images = keras.Input((8, 8, 1), dtype="uint8")
    x = layers.BatchNormalization()(ops.cast(images, "float32"))
    assert detect_range(keras.Model(images, layers.Dense(3)(layers.Flatten()(x)))) == "0..255"


def test_images_of_any_size_one_channel_and_bytes() -> None:
    for shape, dtype in (((None, None, 3), "float32"), ((8, 8, 1), "uint8")):
        images = keras.Input(shape, dtype=dtype)
        x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(images)))
        assert detect_range(keras.Model(images, x)) == "0..255"
