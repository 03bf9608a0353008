"""Scores on the test images, against a computation by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.data import Dataset, Split
from searchcnn.errors import StoreError

start_keras()

from searchcnn.results import Scores, evaluate_model, read_card  # noqa: E402
from searchcnn.results.evaluation import score  # noqa: E402


@pytest.fixture
def scores(saved: Path, digits: Dataset) -> Scores:
    return evaluate_model(saved, digits)


def test_scores_of_digits(scores: Scores, network: Any, digits: Dataset) -> None:
    test = digits.test
    expected = network.predict(test.images / np.float32(255), verbose=0)
    right = expected.argmax(-1) == test.labels
    assert scores.accuracy == pytest.approx(right.mean())
    assert 0.5 < scores.accuracy < 1
    assert scores.loss == pytest.approx(-np.log(expected[np.arange(len(test)), test.labels]).mean(), rel=1e-3)
    assert scores.images == len(test) == sum(row.images for row in scores.classes)
    assert [row.name for row in scores.classes] == list("0123456789")
    for label, row in enumerate(scores.classes):
        of_class, taken = test.labels == label, expected.argmax(-1) == label
        assert row.images == of_class.sum()
        assert row.recall == pytest.approx(right[of_class].mean())
        assert row.precision == pytest.approx(right[taken].mean())
        assert row.f1 == pytest.approx(2 * row.precision * row.recall / (row.precision + row.recall))
    assert sum(row.recall * row.images for row in scores.classes) == pytest.approx(right.sum())


def test_each_reading_is_noted(saved: Path, scores: Scores, digits: Dataset) -> None:
    assert scores.times_read == 1
    noted = read_card(saved)["scores"]
    assert noted["test"] == noted["test"] | {"accuracy": scores.accuracy, "images": len(digits.test), "times_read": 1}
    assert noted["validation"]["accuracy"] == 0.5
    assert evaluate_model(saved, digits).times_read == 2
    assert read_card(saved)["scores"]["test"]["times_read"] == 2


def test_other_images_are_refused(saved: Path, digits: Dataset) -> None:
    other = replace(digits, fingerprint="0" * 32, source="/data/other.npz")
    with pytest.raises(StoreError, match=r"was trained on images other than those at /data/other.npz"):
        evaluate_model(saved, other)
    assert "test" not in read_card(saved)["scores"]


def test_a_model_that_is_missing(tmp_path: Path, digits: Dataset) -> None:
    with pytest.raises(StoreError, match="no such file"):
        evaluate_model(tmp_path / "best.keras", digits)


def test_by_hand(digits: Dataset) -> None:
    """Five images of three classes; one class is never predicted, one has no image."""
    three = replace(
        digits, class_names=("a", "b", "c"), test=Split(np.zeros((5, 8, 8, 1), np.uint8), np.array([0, 0, 0, 1, 1]))
    )
    sure, half = [1.0, 0.0, 0.0], [0.25, 0.25, 0.5]
    scores = score(np.array([sure, sure, half, sure, half]), three)
    assert scores.accuracy == 0.4
    assert [(row.precision, row.recall, row.images) for row in scores.classes] == [
        (pytest.approx(2 / 3), pytest.approx(2 / 3), 3),
        (0.0, 0.0, 2),
        (0.0, 0.0, 0),
    ]
    assert np.isfinite(scores.loss)
    assert scores.loss > (2 * np.log(4)) / 5
