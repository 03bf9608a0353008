"""The pictures of a report, and where the network looks in them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.results.gallery import COUNTS, SIDE, choose_images, make_pictures, read_pictures, shrink, write_pictures
from tests.report.conftest import MODEL, make_predictions

start_keras()

import keras  # noqa: E402

from searchcnn.results.activation import map_activations  # noqa: E402


def test_each_image_is_shown_once_for_the_strongest_reason() -> None:
    predictions = make_predictions("abc")
    chosen = choose_images(predictions)
    assert next(iter(chosen.items())) == (0, "mislabelled")
    kinds = list(chosen.values())
    assert all(kinds.count(kind) <= count for kind, count in COUNTS.items())
    assert kinds == sorted(kinds, key=list(COUNTS).index)
    wrong = set(predictions.find_wrong())
    assert {index for index, kind in chosen.items() if kind == "wrong"} == wrong - {
        index for index, kind in chosen.items() if kind == "mislabelled"
    }
    right = [index for index, kind in chosen.items() if kind == "right"]
    assert not wrong & set(right)
    assert {int(predictions.labels[index]) for index in right} == {0, 1, 2}  # of each class, not of the easiest


def test_pictures_are_kept_with_their_model(tmp_path: Path) -> None:
    predictions, path = make_predictions("abc"), tmp_path / "pictures.npz"
    chosen = choose_images(predictions)
    images = np.random.default_rng(0).integers(0, 256, (len(chosen), 300, 200, 3), dtype=np.uint8)
    maps = [np.full((2, 2), 0.5, np.float32)]
    write_pictures(path, make_pictures(predictions, chosen, images, maps), MODEL)
    pictures = read_pictures(path, MODEL)
    assert [(picture.name, picture.kind) for picture in pictures] == [
        (predictions.names[index], kind) for index, kind in chosen.items()
    ]
    first, second = pictures[:2]
    assert (first.label, first.predicted, first.pixels.shape) == ("a", "b", (SIDE, SIDE * 2 // 3, 3))
    assert first.activation is not None
    np.testing.assert_array_equal(first.activation, maps[0])
    assert second.activation is None
    assert read_pictures(path, "of another model") == []
    path.write_bytes(path.read_bytes()[:-200])
    assert read_pictures(path, MODEL) == []


@pytest.mark.parametrize("shape", [(8, 8, 1), (500, 20, 1), (129, 129, 3)])
def test_small_images_stay_as_they_are(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    small = shrink(pixels)
    assert small.shape[-1] == shape[-1]
    assert max(small.shape) <= SIDE
    assert (small is pixels) == (max(shape) <= SIDE)


def make_model(*, pooled: bool = True, nested: bool = True) -> Any:
    """Returns a classifier: class 0 is where the image is bright, class 1 where it is dark."""
    pixels = keras.Input((6, 6, 1))
    features = keras.layers.Conv2D(2, 1, name="features")(pixels)
    pooling = keras.layers.GlobalAveragePooling2D() if pooled else keras.layers.Flatten()
    x = keras.layers.Dropout(0.5)(pooling(features))
    network = keras.Model(pixels, keras.layers.Dense(2, activation="softmax", name="last")(x))
    network.get_layer("features").set_weights([np.array([[[[1.0, -1.0]]]]), np.array([0.0, 1.0])])
    if pooled:
        network.get_layer("last").set_weights([np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros(2)])
    if not nested:
        return network
    images = keras.Input((6, 6, 1))
    return keras.Model(images, network(keras.layers.Rescaling(1 / 255)(images)))


def test_the_map_shows_where_the_class_is() -> None:
    images = np.zeros((20, 6, 6, 1), np.uint8)
    images[:, 1, 4] = 255
    labels = np.arange(20) % 2
    maps = list(map_activations(make_model(), images, labels))
    assert len(maps) == 20
    for label, activation in zip(labels, maps, strict=True):
        bright = np.zeros((6, 6))
        bright[1, 4] = 1
        np.testing.assert_allclose(activation, bright if label == 0 else 1 - bright, atol=1e-6)


def test_a_network_without_pooling_does_not_tell() -> None:
    images, labels = np.zeros((2, 6, 6, 1), np.uint8), np.zeros(2, np.int64)
    assert list(map_activations(make_model(pooled=False), images, labels)) == []
    assert len(list(map_activations(make_model(nested=False), images, labels))) == 2
