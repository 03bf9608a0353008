"""Batches are scaled, complete and in a reproducible order, the same on every backend."""

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from searchcnn.augmentation import Augmentation
from searchcnn.data import Split
from searchcnn.training.label_form import NUMBERS, LabelForm
from searchcnn.training.normalization import SCALE, Normalization
from searchcnn.training.pipeline import (
    Form,
    Passes,
    _gather_batches,
    _make_numpy_batches,
    _stream_batches,
    is_in_memory,
    make_arrays,
    make_batches,
)

SPLIT = Split(
    np.arange(50, dtype=np.uint8)[:, np.newaxis, np.newaxis, np.newaxis] * np.full((1, 4, 3, 1), 5, np.uint8),
    np.arange(50, dtype=np.int64) % 10,
)
MAKERS = (_gather_batches, _stream_batches, _make_numpy_batches)
NOISE = Split(np.random.default_rng(0).integers(0, 256, (50, 6, 5, 3), np.uint8), SPLIT.labels)
ALL = Augmentation(flip=True, shift=0.3, rotation=30.0, zoom=0.2, contrast=0.5, cutout=0.4, mixup=0.4)


ONE_HOT = LabelForm((True,), 10)


def make_form(labels: LabelForm = NUMBERS, weights: Any = None) -> Form:
    return Form(labels, SCALE.make_function(), weights)


def read_indices(data: Any) -> list[int]:
    return [round(float(pixel) * 255) // 5 for images, _ in data for pixel in np.asarray(images)[:, 0, 0, 0]]


@pytest.fixture(scope="module", autouse=True)
def keras() -> Any:
    from searchcnn.backend import start_keras

    start_keras()
    import keras

    return keras


@pytest.fixture(params=MAKERS, ids=["gathered", "streamed", "numpy"])
def make(request: pytest.FixtureRequest) -> Any:
    def maker(passes: Passes, *arguments: Any) -> Any:
        return request.param(passes, make_form(*arguments))

    return maker


def test_scaling_and_shapes(make: Any) -> None:
    parts = [(np.asarray(images), np.asarray(labels)) for images, labels in make(Passes(SPLIT, 16, None))]
    assert [images.shape for images, _ in parts] == [(16, 4, 3, 1)] * 3 + [(2, 4, 3, 1)]
    images, labels = parts[1]
    assert (images.dtype.name, labels.dtype.name) == ("float32", "int64")
    assert np.allclose(images, SPLIT.images[16:32] / 255)
    assert images.max() <= 1
    assert np.array_equal(labels, SPLIT.labels[16:32])


def test_one_hot(make: Any) -> None:
    _, labels = next(iter(make(Passes(SPLIT, 16), LabelForm((True,), 12))))
    assert np.asarray(labels).dtype == np.float32
    assert np.array_equal(labels, np.eye(12)[SPLIT.labels[:16]])


def test_order_without_seed(make: Any) -> None:
    data = make(Passes(SPLIT, 16, None))
    assert read_indices(data) == read_indices(data) == list(range(50))


def test_order_with_seed(make: Any) -> None:
    data, again, other = make(Passes(SPLIT, 16, 7)), make(Passes(SPLIT, 16, 7)), make(Passes(SPLIT, 16, 8))
    epochs = [read_indices(data) for _ in range(3)]
    assert epochs == [read_indices(again) for _ in range(3)]
    assert len({tuple(epoch) for epoch in [*epochs, read_indices(other)]}) == 4
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)


def test_images_keep_their_labels(make: Any) -> None:
    for images, labels in make(Passes(SPLIT, 16, 7)):
        rows = np.rint(np.asarray(images)[:, 0, 0, 0] * 255) // 5
        assert np.array_equal(rows % 10, labels)


def test_length(make: Any) -> None:
    assert len(make(Passes(SPLIT, 16, 7))) == 4
    assert len(make(Passes(SPLIT, 25, 7))) == 2


def test_backends_agree() -> None:
    first, *others = (maker(Passes(SPLIT, 16, 7), make_form()) for maker in MAKERS)
    orders = [read_indices(first) for _ in range(2)]
    assert all([read_indices(other) for _ in range(2)] == orders for other in others)


def test_order_does_not_depend_on_keras_seed(make: Any, keras: Any) -> None:
    orders = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        orders.append(read_indices(make(Passes(SPLIT, 16, 7))))
    assert orders[0] == orders[1]


def test_fit_takes_each_epoch_in_its_own_order(make: Any, keras: Any) -> None:
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
    assert [seen[:50], seen[50:]] == [read_indices(again), read_indices(again)]


def test_labels_for_each_output(make: Any) -> None:
    _, (first, second) = next(iter(make(Passes(SPLIT, 16), LabelForm((True, True), 12))))
    assert np.array_equal(first, second)
    assert np.shape(first) == (16, 12)


def read_batches(data: Any, epochs: int = 1) -> list[list[Any]]:
    """Returns the batches of some passes, each as a flat list of arrays."""
    import keras

    parts = [part for _ in range(epochs) for part in data]
    return [[keras.ops.convert_to_numpy(array) for array in keras.tree.flatten(part)] for part in parts]


def check_equal(first: list[list[Any]], second: list[list[Any]]) -> None:
    for mine, its in zip(first, second, strict=True):
        for one, other in zip(mine, its, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_the_last_batch_is_filled_where_each_size_is_compiled(make: Any) -> None:
    data, plain = make(Passes(SPLIT, 16, 7, is_filled=True)), make(Passes(SPLIT, 16, 7))
    for _ in range(2):
        epoch, expected = read_indices(data), read_indices(plain)
        assert len(data) == 4
        assert epoch == [*expected, *expected[:14]]
    assert len(read_indices(make(Passes(SPLIT, 64, 7, is_filled=True)))) == 50, "a single batch has a single size"
    assert read_indices(make(Passes(SPLIT, 16, is_filled=True))) == list(range(50)), (
        "a validation counts each image once"
    )


@pytest.mark.parametrize("augmentation", [Augmentation(flip=True, shift=0.3), ALL])
def test_augmented_batches_are_the_same_on_all_backends(augmentation: Augmentation) -> None:
    passes = Passes(NOISE, 16, 7, augmentation)
    first, second = (
        read_batches(make(passes, make_form(LabelForm((True, True), 10), [1.0] * 10)), 2)
        for make in (_stream_batches, _make_numpy_batches)
    )
    check_equal(first, second)
    plain = read_batches(_gather_batches(Passes(NOISE, 16, 7), make_form(LabelForm((True, True), 10), [1.0] * 10)))
    assert [[array.shape for array in batch] for batch in first[:4]] == [[a.shape for a in batch] for batch in plain]
    assert not np.allclose(first[0][0], plain[0][0])
    assert not np.allclose(first[0][0], first[4][0]), "another epoch, other changes"


def test_a_training_that_goes_on_sees_the_same_images() -> None:
    """In every process, and whichever epoch it begins with."""
    kept: dict[str, Any] = {"seed": 7, "labels": ONE_HOT, "augmentation": ALL}
    whole, rest = (
        read_batches(make_batches(NOISE, 16, **kept), 3),
        read_batches(make_batches(NOISE, 16, first=1, **kept), 2),
    )
    check_equal(whole[4:], rest)
    other = read_batches(make_batches(NOISE, 16, **kept | {"seed": 8}))
    assert not np.allclose(whole[0][0], other[0][0])


def test_each_batch_of_each_pass_is_changed_in_its_own_way() -> None:
    passes, order = Passes(NOISE, 16, 7, ALL), np.zeros(50, np.int64)  # the same image everywhere
    seen = [passes.make_batch(order, epoch, index)[2] for epoch in (0, 1) for index in (0, 1)]
    for name in seen[0]:
        assert len({drawn[name].tobytes() for drawn in seen}) == 4, name


def test_validation_is_not_augmented(make: Any) -> None:
    for index, (images, labels) in enumerate(make(Passes(NOISE, 16, None, ALL), ONE_HOT)):
        part = slice(16 * index, 16 * (index + 1))
        np.testing.assert_allclose(images, NOISE.images[part] / np.float32(255), rtol=1e-6)
        np.testing.assert_array_equal(labels, np.eye(10)[NOISE.labels[part]])


def test_blended_labels_are_those_of_the_blended_images() -> None:
    """Each class has a grey of its own, so that an image tells its label."""
    greys = Split(np.repeat(SPLIT.labels.astype(np.uint8) * 20, 4).reshape(50, 2, 2, 1), SPLIT.labels)
    seen = read_batches(
        make_batches(greys, 16, seed=7, labels=ONE_HOT, augmentation=Augmentation(mixup=0.5), class_weights=range(10))
    )
    for images, labels, weights in seen:
        np.testing.assert_allclose(labels.sum(axis=-1), 1, rtol=1e-6)
        np.testing.assert_allclose(images[:, 0, 0, 0] * 255, labels @ np.arange(0, 200, 20), rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(weights, labels @ np.arange(10), rtol=1e-5, atol=1e-6)
    assert sum((labels.max(axis=-1) < 0.99).sum() for _, labels, _ in seen) > 10
    with pytest.raises(ValueError, match="must be one-hot"):
        make_batches(greys, 16, seed=7, augmentation=Augmentation(mixup=0.5))


def test_weights_are_those_of_the_classes(make: Any) -> None:
    weights = np.linspace(0.5, 5.0, 10)
    for _, labels, (first, second) in make(Passes(SPLIT, 16, 7), LabelForm((False, False)), weights):
        np.testing.assert_allclose(first, weights[np.asarray(labels[0])], rtol=1e-6)
        np.testing.assert_array_equal(first, second)


class Lazy:
    """Images that are read when they are asked for."""

    def __init__(self, images: Any) -> None:
        self.images, self.shape, self.dtype = images, images.shape, images.dtype
        self.most = 0

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any) -> Any:
        assert isinstance(index, slice) or index.dtype.kind == "i"
        self.most = max(self.most, len(self.images[index]))
        return self.images[index]


@pytest.mark.parametrize("augmentation", [Augmentation(), Augmentation(flip=True, shift=0.3), ALL])
def test_images_on_disk_are_those_in_memory(tmp_path: Any, augmentation: Augmentation) -> None:
    np.save(tmp_path / "images.npy", NOISE.images)
    mapped: Any = np.load(tmp_path / "images.npy", mmap_mode="r")
    lazy: Any = Lazy(NOISE.images)
    kept: dict[str, Any] = {"seed": 7, "labels": ONE_HOT, "augmentation": augmentation}
    expected = read_batches(make_batches(NOISE, 16, **kept), 2)
    for images in (mapped, lazy):
        split = Split(images, NOISE.labels)
        assert is_in_memory(NOISE)
        assert not is_in_memory(split)
        check_equal(read_batches(make_batches(split, 16, **kept), 2), expected)
    assert lazy.most == 16, "never more than a batch"
    np.testing.assert_array_equal(make_arrays(Split(lazy, NOISE.labels))[0], make_arrays(NOISE)[0])


def test_features_come_as_they_are() -> None:
    features = Split(np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32), SPLIT.labels)
    normalization = Normalization.of("standardize", NOISE.images)
    for (images, _), start in zip(
        make_batches(features, 16, normalization=normalization), range(0, 50, 16), strict=True
    ):
        np.testing.assert_array_equal(images, features.images[start : start + 16])


def test_tensorflow_is_the_default() -> None:
    import tensorflow as tf

    for augmentation in (Augmentation(), ALL):
        assert isinstance(make_batches(SPLIT, 16, seed=7, labels=ONE_HOT, augmentation=augmentation), tf.data.Dataset)


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax")
def test_jax() -> None:
    code = """
import json, sys
import numpy as np
from searchcnn.data import Split
from searchcnn.training.label_form import LabelForm
from searchcnn.training.pipeline import make_batches
split = Split(np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1), np.arange(50) % 10)
data = make_batches(split, 16, seed=7, labels=LabelForm((True,), 10))
import keras
seen, sizes = [], set()
take = type(data).__getitem__
def noted(self, index):
    images, labels = take(self, index)
    sizes.add(len(images))
    seen.extend(np.rint(images[:, 0, 0, 0] * 255).astype(int).tolist())
    return images, labels
type(data).__getitem__ = noted
model = keras.Sequential([keras.Input((1, 1, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
model.compile(loss="categorical_crossentropy")
model.fit(data, epochs=2, verbose=0, shuffle=False)
print(json.dumps([[seen[-128:-64], seen[-64:]], list(sizes), keras.backend.backend(), "tensorflow" in sys.modules]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"KERAS_BACKEND": "jax"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    epochs, sizes, backend, tensorflow = json.loads(done.stdout)
    data = _gather_batches(Passes(SPLIT, 16, 7, is_filled=True), make_form())
    assert epochs == [read_indices(data) for _ in range(2)]
    assert sizes == [16]
    assert (backend, tensorflow) == ("jax", False)
