"""Multiply-accumulates and weights of networks that are counted by hand."""

from pathlib import Path
from typing import Any

import pytest

from searchcnn.backend import start_keras
from searchcnn.search import Cost
from searchcnn.spaces import load_space
from searchcnn.study import Workspace

start_keras()

import keras  # noqa: E402
import keras_tuner  # noqa: E402

from searchcnn.training.cost import measure_cost  # noqa: E402

layers = keras.layers


def make_net(*parts: Any) -> Any:
    """Returns a network for images of 8 x 6 pixels and 3 channels."""
    return keras.Sequential([keras.Input((8, 6, 3)), *parts])


@pytest.mark.parametrize(
    ("parts", "params", "macs"),
    [
        ([layers.Conv2D(5, 3, padding="same")], 9 * 3 * 5 + 5, 8 * 6 * 9 * 3 * 5),
        ([layers.Conv2D(5, 3, use_bias=False)], 9 * 3 * 5, 6 * 4 * 9 * 3 * 5),
        ([layers.Conv2D(5, 3, strides=2, padding="same")], 9 * 3 * 5 + 5, 4 * 3 * 9 * 3 * 5),
        ([layers.Conv2D(6, (1, 3), groups=3, padding="same")], 3 * 6 + 6, 8 * 6 * 3 * 6),
        ([layers.DepthwiseConv2D(3, padding="same")], 9 * 3 + 3, 8 * 6 * 9 * 3),
        ([layers.DepthwiseConv2D(3, depth_multiplier=2)], 9 * 6 + 6, 6 * 4 * 9 * 6),
        ([layers.SeparableConv2D(5, 3, padding="same")], 27 + 15 + 5, 8 * 6 * (9 * 3 + 3 * 5)),
        ([layers.SeparableConv2D(5, 3, strides=2, padding="same")], 27 + 15 + 5, 4 * 3 * (9 * 3 + 3 * 5)),
        ([layers.Conv2DTranspose(5, 3, strides=2, padding="same")], 9 * 3 * 5 + 5, 8 * 6 * 9 * 3 * 5),
        ([layers.Flatten(), layers.Dense(10)], 144 * 10 + 10, 144 * 10),
        ([layers.Dense(10)], 3 * 10 + 10, 8 * 6 * 3 * 10),
        ([layers.BatchNormalization(), layers.MaxPooling2D(), layers.ReLU(), layers.Dropout(0.5)], 12, 0),
        ([layers.PReLU()], 8 * 6 * 3, 0),
    ],
)
def test_layers(parts: list[Any], params: int, macs: int) -> None:
    assert measure_cost(make_net(*parts)) == Cost(params, macs)


def test_networks_in_networks() -> None:
    inner = keras.Sequential([keras.Input((8, 6, 3)), layers.Conv2D(4, 3, padding="same"), layers.GlobalMaxPooling2D()])
    outer = make_net(keras.Sequential([inner]), layers.Dense(2))
    assert measure_cost(outer) == Cost(9 * 3 * 4 + 4 + 4 * 2 + 2, 8 * 6 * 9 * 3 * 4 + 4 * 2)


def test_layers_of_a_network_for_images_of_any_size() -> None:
    layer = layers.Conv2D(5, 3, padding="same")
    whole = keras.Sequential([keras.Input((None, None, 3)), layer])
    images = keras.Input((8, 6, 3))
    assert measure_cost(keras.Model(images, layer(images))) == Cost(9 * 3 * 5 + 5, 8 * 6 * 9 * 3 * 5)
    assert whole.count_params() == 9 * 3 * 5 + 5


def test_a_layer_counts_each_time_that_it_is_called() -> None:
    layer, images = layers.Conv2D(3, 3, padding="same"), keras.Input((8, 6, 3))
    assert measure_cost(keras.Model(images, layer(layer(images)))).macs == 2 * 8 * 6 * 9 * 3 * 3


def test_the_reference_network(tmp_path: Path) -> None:
    loaded = load_space("sequential", Workspace(tmp_path))
    space = loaded.create((28, 28, 1), 10)
    hp = keras_tuner.HyperParameters()
    hp.values = dict(loaded.baselines(space)["fashion_convnet"])
    convolutions = 24 * 24 * 25 * 32 + 8 * 8 * 25 * 32 * 64
    assert measure_cost(space.build(hp)) == Cost(62_346, convolutions + 4 * 4 * 64 * 10)
