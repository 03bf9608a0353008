"""Images unlike all that a model knows: on digits, with a network that was trained a little."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.data import Dataset

start_keras()

import keras  # noqa: E402

from searchcnn.graph import expose_features  # noqa: E402
from searchcnn.results import export_model, read_card  # noqa: E402
from searchcnn.results.export import predict, predict_with_features  # noqa: E402
from searchcnn.results.neighbors import (  # noqa: E402
    fit_neighbors,
    get_neighbors_path,
    read_neighbors,
    write_neighbors,
)


def compute_features(model: Any, images: Any) -> Any:
    _, features = predict_with_features(expose_features(model), images)
    assert features is not None
    return features


def test_the_features_are_what_the_last_layer_is_given(finished: Any, few: Dataset) -> None:
    images = few.validation.images
    probabilities, features = predict_with_features(expose_features(finished), images)
    np.testing.assert_allclose(probabilities, predict(finished, images), atol=1e-6)
    assert features is not None
    kernel, bias = finished.get_weights()[-2:]
    scores = features @ kernel + bias
    np.testing.assert_array_equal(scores.argmax(-1), probabilities.argmax(-1))
    assert len(finished.outputs) == 1


def test_a_network_that_ends_in_another_way_has_none(few: Dataset) -> None:
    images = keras.Input((8, 8, 1))
    scores = keras.layers.Dense(10)(keras.layers.Flatten()(images))
    other = keras.Model(images, keras.layers.Softmax()(scores))
    assert expose_features(other) is other
    probabilities, features = predict_with_features(other, few.validation.images[:5])
    assert (probabilities.shape, features) == ((5, 10), None)


def test_other_images_are_told_from_digits(finished: Any, digits: Dataset) -> None:
    neighbors = fit_neighbors(compute_features(finished, digits.validation.images))
    assert neighbors is not None
    noise = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 1), dtype=np.uint8)
    assert neighbors.find_unlike(compute_features(finished, digits.test.images)).mean() <= 0.03
    assert neighbors.find_unlike(compute_features(finished, noise)).mean() > 0.9
    assert neighbors.find_unlike(compute_features(finished, 255 - digits.test.images)).mean() > 0.9


@pytest.mark.parametrize("dimensions", [4, 64])
def test_false_alarms_are_as_rare_as_is_said(dimensions: int) -> None:
    """On average over many samples, of images that were not among them."""
    random = np.random.default_rng(0)
    rates = []
    for _ in range(20):
        neighbors = fit_neighbors(random.normal(size=(400, dimensions)).astype(np.float32))
        assert neighbors is not None
        rates.append(neighbors.find_unlike(random.normal(size=(1000, dimensions)).astype(np.float32)).mean())
    assert 0.004 < np.mean(rates) < 0.014


def test_too_few_images_tell_nothing() -> None:
    features = np.random.default_rng(0).normal(size=(99, 5)).astype(np.float32)
    assert fit_neighbors(features) is not None
    assert fit_neighbors(features[:98]) is None
    assert fit_neighbors(np.ones_like(features)) is None


def test_what_is_kept_has_a_limit() -> None:
    features = np.random.default_rng(0).normal(size=(200, 50_000)).astype(np.float32)
    neighbors = fit_neighbors(features)
    assert neighbors is not None
    assert len(neighbors.features) == 20


@pytest.mark.slow
def test_what_a_model_knows_travels_with_it(saved: Path, finished: Any, digits: Dataset, tmp_path: Path) -> None:
    features = compute_features(finished, digits.validation.images)
    neighbors = fit_neighbors(features)
    assert neighbors is not None
    write_neighbors(saved, neighbors, read_card(saved)["sha256"])
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "mine.keras"
    (target.parent / "mine.npz").write_text("the user's own file")
    export_model(saved, target)
    read = read_neighbors(target, read_card(target)["sha256"])
    assert read is not None
    np.testing.assert_array_equal(read.find_unlike(features), neighbors.find_unlike(features))
    assert (target.parent / "mine.npz").read_text() == "the user's own file"
    assert read_neighbors(target, "another model") is None
    path = get_neighbors_path(target)
    path.write_bytes(path.read_bytes()[:500])
    assert read_neighbors(target, read_card(target)["sha256"]) is None
