"""How sure a model has to be: a promise that is kept on images of which nothing was known."""

import numpy as np
import pytest
from scipy.special import softmax

from searchcnn.results import certainty as certainty_module
from searchcnn.results.certainty import PROMISES, Certainty, find_certainty
from searchcnn.results.scores import Predictions
from searchcnn.text import compute_interval


def draw(images: int, scale: float, seed: int = 0) -> Predictions:
    """Returns honest probabilities of four classes; the larger the scale, the better the model."""
    random = np.random.default_rng(seed)
    probabilities = softmax(random.normal(size=(images, 4)) * scale, axis=-1)
    labels = np.array([random.choice(4, p=row) for row in probabilities])
    return Predictions([], labels, probabilities.astype(np.float32), list("abcd"))


def find(predictions: Predictions) -> Certainty:
    certainty = find_certainty(predictions)
    assert certainty is not None
    return certainty


def test_the_promise_is_kept_on_other_images() -> None:
    certainty = find(draw(3000, 4.0))
    others = draw(3000, 4.0, seed=1)
    sure = others.confidence >= certainty.threshold
    right = (others.predicted == others.labels)[sure]
    assert certainty.promise == 0.95 <= right.mean()
    assert right.mean() < 0.98  # no more is called unsure than has to be
    assert sure.mean() == pytest.approx(certainty.share, abs=0.03)
    assert (others.predicted == others.labels).mean() < 0.9


def test_what_is_said_is_what_holds_on_validation() -> None:
    predictions = draw(500, 4.0)
    certainty = find(predictions)
    sure = predictions.confidence >= certainty.threshold
    accuracy = float((predictions.predicted == predictions.labels)[sure].mean())
    assert (certainty.accuracy, certainty.share, certainty.images) == pytest.approx((accuracy, sure.mean(), 500))
    assert compute_interval(accuracy, int(sure.sum()))[0] >= certainty.promise
    following = np.sort(predictions.confidence[~sure])[-1]  # one more would break it
    more = predictions.confidence >= following
    right = (predictions.predicted == predictions.labels)[more]
    assert compute_interval(float(right.mean()), len(right))[0] < certainty.promise


@pytest.mark.parametrize(("scale", "promise"), [(25.0, 0.97), (1.7, 0.9)])
def test_the_promise_suits_the_model(scale: float, promise: float) -> None:
    """A better one promises more; a worse one less, of fewer images."""
    certainty = find(draw(1000, scale))
    assert certainty.promise == promise
    assert 0.05 < certainty.share < 1


def test_a_lower_promise_is_better_than_one_for_few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless no promise is kept for many: then the highest is better."""
    assert (find(draw(1000, 3.2)).promise, find(draw(1000, 2.0)).promise) == (0.9, 0.95)
    assert find(draw(1000, 3.2)).share > 0.6
    assert find(draw(1000, 2.0)).share < 0.1
    monkeypatch.setattr(certainty_module, "LEAST_SHARE", 0.0)
    assert find(draw(1000, 3.2)).promise == 0.95
    assert find(draw(1000, 3.2)).share < 0.4


@pytest.mark.parametrize(("images", "scale"), [(10, 100.0), (1000, 0.3)])
def test_nothing_is_promised_of_few_images_or_by_a_bad_model(images: int, scale: float) -> None:
    assert find_certainty(draw(images, scale)) is None


def test_a_model_without_mistakes_is_sure_of_all_images() -> None:
    right = Predictions([], np.zeros(8000, np.int64), np.tile(np.array([0.6, 0.4], np.float32), (8000, 1)), ["a", "b"])
    certainty = find(right)
    assert (certainty.promise, certainty.accuracy, certainty.share) == (PROMISES[-1], 1.0, 1.0)
    assert certainty.threshold <= 0.6


def test_images_that_are_equally_sure_go_together() -> None:
    """The first hundred of them are right, as it happens, and the others wrong."""
    labels = np.repeat([0, 1], 100)
    same = Predictions([], labels, np.tile(np.array([0.9, 0.1], np.float32), (200, 1)), ["a", "b"])
    assert find_certainty(same) is None
