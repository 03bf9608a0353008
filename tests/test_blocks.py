"""Building blocks: on maps of any size, in the order that was asked for."""

from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.blocks import activate, convolve, dense, drop, pool

start_keras()

import keras  # noqa: E402


def network(make: Any, shape: tuple[int, ...]) -> Any:
    inputs = keras.Input(shape)
    return keras.Model(inputs, make(inputs))


def kinds(make: Any, shape: tuple[int, ...] = (4, 4, 2)) -> list[str]:
    return [type(layer).__name__ for layer in network(make, shape).layers[1:]]


@pytest.mark.parametrize(
    ("shape", "options", "expected"),
    [
        ((1, 1, 2), {"padding": "valid"}, (1, 1, 5)),
        ((2, 9, 2), {"padding": "valid"}, (2, 9, 5)),
        ((3, 9, 2), {"padding": "valid"}, (1, 7, 5)),
        ((9, 9, 2), {}, (9, 9, 5)),
        ((9, 9, 2), {"stride": 2}, (5, 5, 5)),
        ((1, 1, 2), {"stride": 2}, (1, 1, 5)),
    ],
)
def test_a_convolution_fits_every_map(
    shape: tuple[int, ...], options: dict[str, Any], expected: tuple[int, ...]
) -> None:
    assert network(lambda x: convolve(x, 5, 3, **options), shape).output_shape == (None, *expected)


@pytest.mark.parametrize(
    ("batch_norm", "activation", "expected"),
    [
        ("none", "relu", ["Activation"]),
        ("before", "relu", ["BatchNormalization", "Activation"]),
        ("after", "relu", ["Activation", "BatchNormalization"]),
        ("before", "linear", ["BatchNormalization"]),
        ("none", "linear", []),
    ],
)
def test_batch_norm_and_activation(batch_norm: str, activation: str, expected: list[str]) -> None:
    def convolution(x: Any) -> Any:
        return convolve(x, 2, 3, batch_norm=batch_norm, activation=activation)

    assert kinds(convolution) == ["Conv2D", *expected]
    assert kinds(lambda x: activate(x, batch_norm, activation)) == expected


def test_arguments_of_a_convolution_reach_keras() -> None:
    options: dict[str, Any] = {"use_bias": False, "kernel_initializer": "zeros", "groups": 2}
    (kernel,) = network(lambda x: convolve(x, 4, 3, **options), (4, 4, 2)).get_weights()
    assert kernel.shape == (3, 3, 1, 4)
    assert not kernel.any()


def test_kernels_start_as_he_says() -> None:
    convolution = network(lambda x: convolve(x, 512, 3), (4, 4, 8)).get_weights()[0]
    assert convolution.std() == pytest.approx((2 / (3 * 3 * 8)) ** 0.5, rel=0.05)
    units = network(lambda x: dense(x, [512], "relu", 0.0), (50,)).get_weights()[0]
    assert units.std() == pytest.approx((2 / 50) ** 0.5, rel=0.05)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((4, 4, 2), (2, 2, 2)), ((5, 7, 2), (2, 3, 2)), ((1, 6, 2), (1, 3, 2)), ((6, 1, 2), (3, 1, 2))],
)
@pytest.mark.parametrize(("kind", "largest"), [("max", True), ("average", False)])
def test_pooling_halves_what_can_be_halved(
    shape: tuple[int, ...], expected: tuple[int, ...], kind: str, largest: bool
) -> None:
    model = network(lambda x: pool(x, kind), shape)
    assert model.output_shape == (None, *expected)
    images = np.random.default_rng(0).random((1, *shape), "float32")
    corner = images[0, :2, :2, 0]
    assert np.asarray(model(images))[0, 0, 0, 0] == pytest.approx(corner.max() if largest else corner.mean())


def test_pooling_of_one_pixel_and_of_no_kind() -> None:
    pixel, maps = keras.Input((1, 1, 2)), keras.Input((4, 4, 2))
    assert pool(pixel, "max") is pixel
    assert pool(maps, "none") is maps


def test_dense_layers_and_dropout() -> None:
    assert kinds(lambda x: dense(x, [8, 4], "relu", 0.5), (3,)) == ["Dense", "Dropout"] * 2
    assert kinds(lambda x: dense(x, [8, 4], "relu", 0.0), (3,)) == ["Dense"] * 2
    assert kinds(lambda x: dense(x, [], "relu", 0.5), (3,)) == ["Dropout"]
    features = keras.Input((3,))
    assert dense(features, [], "relu", 0.0) is features
    assert drop(features, 0.0) is features
    model = network(lambda x: dense(x, [8, 4], "tanh", 0.25), (3,))
    assert model.output_shape == (None, 4)
    assert [getattr(layer, "rate", layer.get_config().get("activation")) for layer in model.layers[1:]] == [
        *("tanh", 0.25),
        *("tanh", 0.25),
    ]
