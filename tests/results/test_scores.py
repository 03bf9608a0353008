"""Scores of predictions, against computations by hand and by other libraries."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from searchcnn.data import Dataset
from searchcnn.errors import StoreError, UsageError
from searchcnn.results.label_errors import find_label_errors
from searchcnn.results.scores import Confusion, Predictions, score
from searchcnn.results.wrong import make_folder, write_wrong
from searchcnn.views.scores import describe_scores

SURE, HALF = [1.0, 0.0, 0.0], [0.25, 0.25, 0.5]


def make_predictions(labels: list[int], probabilities: list[list[float]], classes: str = "abc") -> Predictions:
    names = [f"{number}.png" for number in range(len(labels))]
    return Predictions(names, np.array(labels), np.array(probabilities, np.float32), list(classes))


@pytest.fixture
def five() -> Predictions:
    """Returns five images of three classes; one class is never predicted, one has no image."""
    return make_predictions([0, 0, 0, 1, 1], [SURE, SURE, HALF, SURE, HALF])


def test_by_hand(five: Predictions) -> None:
    scores = score(five)
    assert scores.accuracy == 0.4
    assert [(row.precision, row.recall, row.images) for row in scores.classes] == [
        (pytest.approx(2 / 3), pytest.approx(2 / 3), 3),
        (0.0, 0.0, 2),
        (0.0, 0.0, 0),
    ]
    assert np.isfinite(scores.loss)
    assert scores.loss > (2 * np.log(4)) / 5
    assert scores.balanced_accuracy == pytest.approx(1 / 3)  # of the classes that have images
    assert scores.matrix == [[2, 0, 1], [1, 0, 1], [0, 0, 0]]
    observed, expected = 2 / 5, (3 * 3 + 2 * 0 + 0 * 2) / 25
    assert scores.kappa == pytest.approx((observed - expected) / (1 - expected))
    assert scores.calibration_error == pytest.approx((abs(2 - 3) + abs(0 - 2 * 0.5)) / 5)
    assert scores.interval == pytest.approx((0.1176, 0.7693), abs=1e-4)  # Wilson's for 2 of 5
    assert scores.top5 is None
    assert scores.list_confusions() == [
        Confusion("b", "a", 1, 0.5),
        Confusion("b", "c", 1, 0.5),
        Confusion("a", "c", 1, 1 / 3),
    ]


def test_the_most_confident_mistake_comes_first(five: Predictions) -> None:
    assert five.find_wrong().tolist() == [3, 2, 4]
    lines = [line for line in describe_scores(score(five), "Accuracy") if isinstance(line, str)]
    assert "Most wrong: 3.png: b taken for a, 100.0% sure" in lines
    assert "Most confused: takes b for a (1, 50.0%), b for c (1, 50.0%) and a for c (1, 33.3%)" in lines


def test_all_right_and_all_one_class() -> None:
    scores = score(make_predictions([0, 0], [SURE, SURE]))
    assert (scores.accuracy, scores.kappa, scores.calibration_error) == (1.0, 1.0, 0.0)
    assert scores.list_confusions() == []


def test_the_five_most_probable() -> None:
    probabilities = np.full((2, 12), 0.01)
    probabilities[:, :6] = [0.3, 0.2, 0.15, 0.12, 0.1, 0.07]
    scores = score(make_predictions([4, 5], probabilities.tolist(), "abcdefghijkl"))
    assert scores.top5 == 0.5


def test_wrong_images_are_written(tmp_path: Path, digits: Dataset) -> None:
    images = digits.test.images[:2]
    predictions = Predictions(
        ["a/1.png", "b/2.png"], np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]], np.float32), ["a/b", "c"], images
    )
    folder = tmp_path / "wrong"
    make_folder(folder)
    make_folder(folder)  # the command before has failed
    assert write_wrong(predictions, folder) == 1
    with (folder / "wrong.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row == {
        "picture": "0001 c taken for a_b, 2.png",
        "image": "b/2.png",
        "class": "c",
        "predicted": "a/b",
        "probability": "0.8000",
        "probability_of_class": "0.2000",
    }
    np.testing.assert_array_equal(np.asarray(Image.open(folder / row["picture"])), images[1, ..., 0])
    with pytest.raises(UsageError, match="already holds something; name a new or empty folder"):
        make_folder(folder)
    with pytest.raises(StoreError, match="cannot be written: Not a directory"):
        make_folder(folder / "wrong.csv" / "more")


def test_planted_label_errors_are_found(digits: Dataset) -> None:
    """Twenty images are filed under another class; the network was not trained on them."""
    random = np.random.default_rng(0)
    flat = [split.images.reshape(len(split), -1) / 16 for split in (digits.train, digits.test)]
    network = LogisticRegression(max_iter=1000).fit(flat[0], digits.train.labels)
    labels, planted = digits.test.labels.copy(), random.choice(len(digits.test), 20, replace=False)
    labels[planted] = (labels[planted] + random.integers(1, 10, 20)) % 10
    predictions = Predictions(
        [str(number) for number in range(len(labels))], labels, network.predict_proba(flat[1]), digits.class_names
    )
    errors = find_label_errors(predictions)
    found = {int(error.name) for error in errors} & set(planted.tolist())
    assert len(found) >= 18
    assert len(found) / len(errors) > 0.5
    right = [error.suggested == digits.class_names[digits.test.labels[int(error.name)]] for error in errors[:10]]
    assert sum(right) >= 9


def test_a_class_without_images_is_never_suggested() -> None:
    errors = find_label_errors(make_predictions([0, 1, 1], [[0.8, 0.1, 0.1], [0.0, 0.1, 0.9], [0.1, 0.8, 0.1]]))
    assert errors == []
