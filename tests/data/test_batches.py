"""Batches are scaled, complete and in a reproducible order, the same on every backend."""

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from searchcnn.data import Split, batches
from searchcnn.data.augmentation import Augmentation
from searchcnn.data.batches import Passes, _augmented_batches, _numpy_batches, _tensorflow_batches

SPLIT = Split(
    np.arange(50, dtype=np.uint8)[:, np.newaxis, np.newaxis, np.newaxis] * np.full((1, 4, 3, 1), 5, np.uint8),
    np.arange(50, dtype=np.int64) % 10,
)
MAKERS = (_tensorflow_batches, _numpy_batches)


def indices(data: Any) -> list[int]:
    return [round(float(pixel) * 255) // 5 for images, _ in data for pixel in np.asarray(images)[:, 0, 0, 0]]


@pytest.fixture(params=MAKERS, ids=["tensorflow", "numpy"])
def make(request: pytest.FixtureRequest) -> Any:
    from searchcnn.backend import start_keras

    start_keras()
    return request.param


def test_scaling_and_shapes(make: Any) -> None:
    parts = [(np.asarray(images), np.asarray(labels)) for images, labels in make(Passes(SPLIT, 16, None))]
    assert [images.shape for images, _ in parts] == [(16, 4, 3, 1)] * 3 + [(2, 4, 3, 1)]
    images, labels = parts[1]
    assert (images.dtype.name, labels.dtype.name) == ("float32", "int64")
    assert np.allclose(images, SPLIT.images[16:32] / 255)
    assert images.max() <= 1
    assert np.array_equal(labels, SPLIT.labels[16:32])


def test_one_hot(make: Any) -> None:
    _, labels = next(iter(make(Passes(SPLIT, 16), 12)))
    assert np.asarray(labels).dtype == np.float32
    assert np.array_equal(labels, np.eye(12)[SPLIT.labels[:16]])


def test_order_without_seed(make: Any) -> None:
    data = make(Passes(SPLIT, 16, None))
    assert indices(data) == indices(data) == list(range(50))


def test_order_with_seed(make: Any) -> None:
    data, again, other = make(Passes(SPLIT, 16, 7)), make(Passes(SPLIT, 16, 7)), make(Passes(SPLIT, 16, 8))
    epochs = [indices(data) for _ in range(3)]
    assert epochs == [indices(again) for _ in range(3)]
    assert len({tuple(epoch) for epoch in [*epochs, indices(other)]}) == 4
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)


def test_images_keep_their_labels(make: Any) -> None:
    for images, labels in make(Passes(SPLIT, 16, 7)):
        rows = np.rint(np.asarray(images)[:, 0, 0, 0] * 255) // 5
        assert np.array_equal(rows % 10, labels)


def test_length(make: Any) -> None:
    assert len(make(Passes(SPLIT, 16, 7))) == 4
    assert len(make(Passes(SPLIT, 25, 7))) == 2


def test_backends_agree() -> None:
    first, second = (maker(Passes(SPLIT, 16, 7)) for maker in MAKERS)
    assert [indices(first) for _ in range(2)] == [indices(second) for _ in range(2)]


def test_order_does_not_depend_on_keras_seed(make: Any) -> None:
    import keras

    orders = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        orders.append(indices(make(Passes(SPLIT, 16, 7))))
    assert orders[0] == orders[1]


def test_fit_takes_each_epoch_in_its_own_order(make: Any) -> None:
    import keras

    seen: list[int] = []

    class Note(keras.metrics.Metric):
        def update_state(self, labels: Any, outputs: Any, sample_weight: Any = None) -> None:
            seen.extend(np.asarray(labels).astype(int).reshape(-1).tolist())

        def result(self) -> float:
            return 0.0

    model = keras.Sequential([keras.Input((4, 3, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile(loss="mse", metrics=[Note()], run_eagerly=True)
    numbered = Split(SPLIT.images, np.arange(50))
    model.fit(make(Passes(numbered, 16, 7)), epochs=2, verbose=0, shuffle=False)
    again = make(Passes(SPLIT, 16, 7))
    assert [seen[:50], seen[50:]] == [indices(again), indices(again)]


def test_labels_for_each_output(make: Any) -> None:
    _, (first, second) = next(iter(make(Passes(SPLIT, 16), 12, 2)))
    assert np.array_equal(first, second)
    assert np.shape(first) == (16, 12)


def test_augmented_batches_are_the_same_on_all_backends() -> None:
    noise = Split(np.random.default_rng(0).integers(0, 256, (50, 4, 3, 1), np.uint8), SPLIT.labels)
    passes = Passes(noise, 16, 7, Augmentation(flip=True, shift=0.3))
    first, second = _augmented_batches(passes, None, 1), _numpy_batches(passes)
    seen = []
    for _ in range(2):
        for (images, labels), (others, other_labels) in zip(first, second, strict=True):
            np.testing.assert_allclose(images, others)
            assert np.array_equal(labels, other_labels)
            seen.append(np.asarray(images))
    plain = [np.asarray(images) for images, _ in _tensorflow_batches(Passes(noise, 16, 7))]
    assert [images.shape for images in seen[:4]] == [images.shape for images in plain]
    assert not np.array_equal(seen[0], plain[0])
    assert not np.array_equal(seen[0], seen[4]), "another epoch, other changes"


def test_validation_is_not_augmented() -> None:
    (images, _), *_ = batches(SPLIT, 16, augmentation=Augmentation(flip=True, shift=0.3))
    np.testing.assert_allclose(images, SPLIT.images[:16] / np.float32(255), rtol=1e-6)


def test_tensorflow_is_the_default() -> None:
    import tensorflow as tf

    assert isinstance(batches(SPLIT, 16), tf.data.Dataset)


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax")
def test_jax() -> None:
    code = """
import json, sys
import numpy as np
from searchcnn.data import Split, batches
split = Split(np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1), np.arange(50) % 10)
data = batches(split, 16, seed=7, one_hot=10)
import keras
seen = []
take = type(data).__getitem__
def noted(self, index):
    images, labels = take(self, index)
    seen.extend(np.rint(images[:, 0, 0, 0] * 255).astype(int).tolist())
    return images, labels
type(data).__getitem__ = noted
model = keras.Sequential([keras.Input((1, 1, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
model.compile(loss="categorical_crossentropy")
model.fit(data, epochs=2, verbose=0, shuffle=False)
print(json.dumps([[seen[-100:-50], seen[-50:]], keras.backend.backend(), "tensorflow" in sys.modules]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"KERAS_BACKEND": "jax"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    epochs, backend, tensorflow = json.loads(done.stdout)
    data = _tensorflow_batches(Passes(SPLIT, 16, 7))
    assert epochs == [indices(data) for _ in range(2)]
    assert (backend, tensorflow) == ("jax", False)
