"""Scores on the test images, against a computation by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from searchcnn.backend import start_keras
from searchcnn.data import Dataset
from searchcnn.errors import DataError, StoreError

start_keras()

from searchcnn.results import Scores, evaluate_model, evaluate_on, read_card  # noqa: E402
from searchcnn.results.card import write_card  # noqa: E402
from searchcnn.results.export import load_model, predict  # noqa: E402


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


def test_other_labelled_images(saved: Path, digits: Dataset, tmp_path: Path, card: dict[str, Any]) -> None:
    """Of a folder, whose classes are in another order, and of which the model does not know all."""
    for label in (7, 3):
        for number, index in enumerate(np.flatnonzero(digits.test.labels == label)[:5]):
            path = tmp_path / "new" / str(label) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(digits.test.images[index, ..., 0]).save(path)
    (tmp_path / "new" / "letters").mkdir()
    Image.new("L", (20, 30)).save(tmp_path / "new" / "letters" / "a.png")
    preparation = {"height": 8, "width": 8, "channels": 1, "resize": "crop"}
    write_card(saved, {**read_card(saved), "classes": list(digits.class_names), "preparation": preparation})
    before = read_card(saved)
    scores = evaluate_on(saved, str(tmp_path / "new"))
    test = [digits.test.images[digits.test.labels == label][:5] for label in (3, 7)]
    predicted = predict(load_model(saved), np.concatenate(test)).argmax(-1)
    assert scores.images == 10
    assert scores.accuracy == (predicted == [3] * 5 + [7] * 5).mean()
    assert scores.left_out == ["letters"]
    assert sorted(scores.predictions.names)[0] == "3/0.png"
    assert scores.times_read == 0
    assert read_card(saved) == before

    (tmp_path / "new" / "3").rename(tmp_path / "new" / "three")
    (tmp_path / "new" / "7").rename(tmp_path / "new" / "seven")
    with pytest.raises(DataError, match=r"knows none of its classes, such as 'letters'; it knows 0, 1, 2"):
        evaluate_on(saved, str(tmp_path / "new"))
