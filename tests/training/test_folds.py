"""A network that is trained again on folds: nothing of what it predicts has been in its training."""

from pathlib import Path

import keras
import numpy as np
import pytest

from searchcnn.data import Dataset, Fold, Split
from searchcnn.results.cross_prediction import cut_stretches
from searchcnn.training.features import Images
from searchcnn.training.folds import FoldFeatures


@pytest.fixture
def frozen() -> keras.Model:
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 1))
    return keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(images)))


def test_features_of_all_images_are_computed_once_for_all_folds(
    few: Dataset, frozen: keras.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images, count = few.train, len(few.train)
    halves = np.arange(0, count, 2), np.arange(1, count, 2)
    expected = np.asarray(frozen.predict(images.images / np.float32(255), verbose=0))
    files = set()
    for fold in (Fold(*halves), Fold(*halves[::-1])):
        fitted, measured = images.take(fold.fitted), images.take(fold.measured)
        cache = FoldFeatures("digits", 10**9, images, fold)
        views, unseen = [Images(fitted, "train")], Images(measured, "validation")
        parts = cache.compute_cached(frozen, lambda done: None, views, unseen)
        for part, rows in zip(parts, fold, strict=True):
            np.testing.assert_allclose(part.images, expected[rows], atol=1e-5)
            np.testing.assert_array_equal(part.labels, images.labels[rows])
        files |= {file.name for file in tmp_path.rglob("*.npy")}
    assert len(files) == 1


def test_stretches_end_where_the_trial_has_ended() -> None:
    assert cut_stretches([1, 4, 8], 13) == (1, 4, 8)
    assert cut_stretches([1, 4, 8], 7) == (1, 4, 2)
    assert cut_stretches([1, 4, 8], 5) == (1, 4)
    assert cut_stretches([], 9) == ()


def test_two_parts_as_one() -> None:
    first, second = (Split(np.full((2, 1), part), np.full(2, part), ["a", "b"], np.array([part, 9])) for part in (0, 1))
    joined = first.join(second)
    assert joined.labels.tolist() == [0, 0, 1, 1]
    assert joined.copies is not None and joined.copies.tolist() == [0, 9, 1, 9]
    assert joined.take(np.array([3, 0])).images.tolist() == [[1], [0]]
