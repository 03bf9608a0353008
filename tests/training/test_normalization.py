"""Normalisation: its statistics, and that the pipeline and the saved model do the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.data import Dataset, Split, statistics
from searchcnn.study.values import NormalizationName
from searchcnn.training.normalization import SCALE, Normalization
from searchcnn.training.pipeline import make_arrays, make_batches

start_keras()

import keras  # noqa: E402

KINDS: tuple[NormalizationName, ...] = ("scale", "standardize", "zca")


@pytest.fixture(scope="module")
def colours() -> Any:
    """Returns images whose neighbouring pixels and channels are alike: noise that is blurred and tinted."""
    random = np.random.default_rng(0)
    noise = random.normal(size=(600, 13, 11, 1)) + 0.4 * random.normal(size=(600, 13, 11, 3))
    blurred = np.sum([np.roll(noise, (row, column), (1, 2)) for row in (-1, 0, 1) for column in (-1, 0, 1)], axis=0)
    return np.clip(np.rint(blurred * [12, 10, 8] + [140, 120, 100]), 0, 255).astype(np.uint8)


def correlate(one: Any, other: Any) -> float:
    return float(abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_pipeline_does_what_the_saved_model_does(kind: NormalizationName, colours: Any, tmp_path: Path) -> None:
    normalization = Normalization.of(kind, colours)
    images = keras.Input((13, 11, 3))
    front = keras.Sequential([images, *normalization.make_layers()])
    front.save(tmp_path / "front.keras")
    split = Split(colours[:40], np.zeros(40, np.int64))
    expected = keras.models.load_model(tmp_path / "front.keras").predict(split.images, verbose=0)
    assert front.count_params() == (5 * 5 * 3 * 3 if kind == "zca" else 0)
    assert front.trainable_weights == []
    np.testing.assert_allclose(make_arrays(split, normalization=normalization)[0], expected, rtol=1e-5, atol=1e-5)
    result = np.concatenate([batch for batch, _ in make_batches(split, 16, normalization=normalization)])
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_scaling_needs_no_images() -> None:
    assert np.array_equal(
        Normalization.of("scale", None).normalize(np.array([[[[0]], [[255]]]], np.uint8)).ravel(), [0, 1]
    )
    assert [layer.name for layer in SCALE.make_layers()] == ["scale"]


def test_each_channel_is_standardised(colours: Any) -> None:
    result = Normalization.of("standardize", colours).normalize(colours)
    np.testing.assert_allclose(result.mean((0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(result.std((0, 1, 2)), 1, atol=1e-4)


def test_a_constant_channel_becomes_zero() -> None:
    grey = np.full((5, 4, 4, 2), 7, np.uint8)
    grey[..., 1] = np.arange(5)[:, None, None]
    for kind in KINDS[1:]:
        result = Normalization.of(kind, grey).normalize(grey)
        assert np.isfinite(result).all()
        np.testing.assert_allclose(result[..., 0], 0, atol=1e-4)


def test_whitened_pixels_do_not_tell_of_their_neighbours(colours: Any) -> None:
    before = Normalization.of("standardize", colours).normalize(colours)
    after = Normalization.of("zca", colours).normalize(colours)[:, 2:-2, 2:-2]  # away from the border
    assert correlate(before[:, 1:], before[:, :-1]) > 0.5
    assert correlate(before[..., 0], before[..., 1]) > 0.7
    assert correlate(after[:, 1:], after[:, :-1]) < 0.2
    assert correlate(after[:, :, 1:], after[:, :, :-1]) < 0.2
    assert correlate(after[..., 0], after[..., 1]) < 0.15
    assert correlate(before[:, 2:-2, 2:-2], after) > 0.1, "it is still the image"
    np.testing.assert_allclose(after.mean((0, 1, 2)), 0, atol=0.02)


def test_digits_are_whitened(digits: Dataset) -> None:
    images = digits.train.images
    before, after = (Normalization.of(kind, images).normalize(images) for kind in KINDS[1:])
    assert correlate(after[:, :, 1:], after[:, :, :-1]) < correlate(before[:, :, 1:], before[:, :, :-1]) / 2


def test_images_smaller_than_a_patch() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 2, 1), np.uint8)
    normalization = Normalization.of("zca", images)
    assert normalization.whitening is not None
    assert normalization.whitening.shape == (1, 1, 1, 1)
    assert normalization.normalize(images).std() == pytest.approx(1, abs=0.05)


def test_statistics_come_from_a_sample_that_is_always_the_same(
    colours: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    np.save(tmp_path / "images.npy", colours)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    for name, most in (("MAX_IMAGES", 50), ("MAX_VALUES", 50 * 13 * 11 * 3)):
        with monkeypatch.context() as patch:
            patch.setattr(statistics, name, most)
            assert len(statistics.draw_sample(colours)) == 50
            first, again = Normalization.of("zca", colours), Normalization.of("zca", mapped)
            assert (first.mean, first.deviation) == (again.mean, again.deviation)
            np.testing.assert_array_equal(first.whitening, again.whitening)
