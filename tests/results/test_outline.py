"""Networks in lines: chains, repetitions, branches, heads, nested and shared layers."""

from typing import Any

from searchcnn.backend import start_keras

start_keras()

import keras  # noqa: E402
from keras import layers  # noqa: E402

from searchcnn.results.outline import draw_outline  # noqa: E402
from searchcnn.text import TIMES  # noqa: E402
from searchcnn.training.cost import measure_cost  # noqa: E402


def draw_lines(model: Any) -> list[str]:
    return [line.rule + line.text.replace(TIMES, "x") for line in draw_outline(model)]


def convolve(x: Any, filters: int = 4, **options: Any) -> Any:
    return layers.Conv2D(filters, 3, padding="same", **options)(x)


def test_a_chain_with_what_follows_in_the_same_line_and_repetitions() -> None:
    images = x = keras.Input((8, 8, 1))
    x = layers.Dropout(0.5)(layers.ReLU()(layers.BatchNormalization()(convolve(x, strides=2))))
    for _ in range(3):
        x = convolve(x, activation="relu")
    x = layers.Dense(2, activation="softmax")(layers.Flatten()(layers.MaxPooling2D()(x)))
    model = keras.Model(images, x)
    assert draw_lines(model) == [
        "images",
        "Conv2D 4, 3x3, stride 2 · BatchNorm · relu · Dropout 0.5",
        "3 x Conv2D 4, 3x3 · relu",
        "MaxPooling 2x2",
        "Flatten",
        "Dense 2 · softmax",
    ]
    drawn = draw_outline(model)
    assert sum(line.params for line in drawn) == model.count_params()
    assert sum(line.macs for line in drawn) == measure_cost(model).macs
    assert [line.shape for line in drawn] == [(8, 8, 1), (4, 4, 4), (4, 4, 4), (2, 2, 4), (16,), (2,)]


def test_blocks_in_blocks_and_blocks_that_repeat() -> None:
    images = x = keras.Input((8, 8, 4))
    for _ in range(2):
        y = convolve(x)
        gate = layers.Dense(4, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(y))
        x = layers.ReLU()(layers.Add()([layers.Multiply()([y, gate]), x]))
    model = keras.Model(images, x)
    assert draw_lines(model) == [
        "images",
        "╭ 2 x this block",
        "├ Conv2D 4, 3x3",
        "│ ╭ GlobalAveragePooling",
        "│ │ Dense 4 · sigmoid",
        "│ ├ identity",
        "│ ╰ Multiply",
        "├ identity",
        "╰ Add · relu",
    ]
    assert sum(line.params for line in draw_outline(model)) == model.count_params()


def test_a_block_that_begins_with_images_and_one_that_ends_with_another() -> None:
    images = keras.Input((8, 8, 1))
    x = layers.Concatenate()(
        [convolve(images, 1), convolve(images, 2), layers.Concatenate()([convolve(images, 3), images])]
    )
    assert set(draw_lines(keras.Model(images, x))) >= {"images", "╰ Concatenate"}
    assert sum("Conv2D" in line for line in draw_lines(keras.Model(images, x))) == 3


def test_an_auxiliary_head_stands_where_it_leaves() -> None:
    images = keras.Input((8, 8, 1))
    x = convolve(images)
    head = layers.Dense(2)(layers.Flatten()(x))
    main = layers.Dense(2)(layers.GlobalAveragePooling2D()(convolve(x, 6)))
    assert draw_lines(keras.Model(images, [main, head])) == [
        "images",
        "Conv2D 4, 3x3",
        "┆ auxiliary head, cut off when the network is saved",
        "┆ Flatten",
        "┆ Dense 2",
        "Conv2D 6, 3x3",
        "GlobalAveragePooling",
        "Dense 2",
    ]


def test_networks_in_networks_and_layers_that_are_used_twice() -> None:
    images = keras.Input((8, 8, 4))
    inner = keras.Model(images, convolve(images), name="frozen")
    inner.trainable = False
    shared = layers.Conv2D(4, 3, padding="same")
    outer = keras.Input((8, 8, 4))
    model = keras.Model(outer, shared(layers.MaxPooling2D()(shared(inner(outer)))))
    assert draw_lines(model) == [
        "images",
        "frozen: 2 layers, not trained",
        "Conv2D 4, 3x3",
        "MaxPooling 2x2",
        "Conv2D 4, 3x3",
    ]
    assert sum(line.params for line in draw_outline(model)) == model.count_params()


def test_a_sequential_model() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2), layers.Dense(2)])
    assert draw_lines(model) == ["images", "Dense 2", "Dense 2"]
