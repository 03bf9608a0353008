"""Softmax layers that a solver brings to their optimum: compared with scikit-learn, on few images and on many."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from searchcnn.backend import start_keras
from searchcnn.data import Fold, Split, make_folds
from searchcnn.errors import PluginError

start_keras()

import keras  # noqa: E402

from searchcnn.training import solver  # noqa: E402
from searchcnn.training.solver import PENALTIES, Solution, find_last_layer, solve  # noqa: E402

CLASSES = 4
COUNT = 200
layers = keras.layers


def draw_features(count: int = COUNT, classes: int = CLASSES, seed: int = 0, noise: float = 2.0) -> Split:
    """Returns features of classes that overlap, far from a variance of 1."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    centres = np.random.default_rng(99).normal(size=(classes, 6))
    features = 30 * (centres[labels] + noise * random.normal(size=(count, 6))) + 7
    return Split(features.astype(np.float32), labels)


def split_in_halves(split: Split) -> list[Fold]:
    middle = len(split) // 2
    return [Fold(np.arange(middle), np.arange(middle, len(split)))]


def fit_directly(split: Split, fitted: Any, penalty: float, weights: Sequence[float] | None = None) -> Any:
    """Returns what scikit-learn alone gives, brought to the optimum."""
    spread = np.sqrt(split.images.var(axis=0).mean())
    labels = split.labels[fitted]
    shares = None if weights is None else np.array(weights)[labels]
    model = LogisticRegression(C=1 / (penalty * len(fitted)), max_iter=10_000, tol=1e-8)
    model.fit(split.images[fitted] / spread, labels, shares)
    return lambda features: model.predict_proba(features / spread)


def compute_losses(split: Split, fitted: Any, measured: Any) -> list[float]:
    """Returns the loss in validation at each penalty."""
    values = []
    for penalty in PENALTIES:
        probabilities = fit_directly(split, fitted, penalty)(split.images[measured])
        values.append(-np.log(probabilities[np.arange(len(measured)), split.labels[measured]]).mean())
    return values


@pytest.mark.parametrize(("classes", "noise"), [(4, 2.0), (2, 2.0), (4, 0.2), (2, 0.2)])
def test_it_is_scikit_learn_at_the_best_penalty(classes: int, noise: float) -> None:
    split = draw_features(classes=classes, noise=noise)
    ((fitted, measured),) = split_in_halves(split)
    solution = solve(split, split_in_halves(split), classes)
    expected = compute_losses(split, fitted, measured)
    assert solution.penalty == PENALTIES[int(np.argmin(expected))]
    assert solution.metrics["val_loss"] == pytest.approx(min(expected), rel=1e-3, abs=1e-4)
    probabilities = solution.layer(split.images)
    assert probabilities.shape == (COUNT, classes)
    np.testing.assert_allclose(probabilities, fit_directly(split, fitted, solution.penalty)(split.images), atol=5e-3)
    for part, name in ((fitted, ""), (measured, "val_")):
        right = probabilities[part].argmax(axis=1) == split.labels[part]
        assert solution.metrics[f"{name}accuracy"] == pytest.approx(right.mean())
        loss = -np.log(probabilities[part, split.labels[part]]).mean()
        assert solution.metrics[f"{name}loss"] == pytest.approx(loss, rel=1e-4)


def test_what_the_layer_says_is_what_keras_computes() -> None:
    split = draw_features()
    solution = solve(split, split_in_halves(split), CLASSES)
    dense = layers.Dense(CLASSES, activation="softmax")
    dense.build((None, 6))
    dense.set_weights([solution.layer.kernel, solution.layer.bias])
    np.testing.assert_allclose(dense(split.images), solution.layer(split.images), rtol=1e-3, atol=1e-5)


def test_the_units_of_features_do_not_matter() -> None:
    split = draw_features()
    other = Split(split.images * np.float32(2**10), split.labels)
    one, two = (solve(features, split_in_halves(split), CLASSES) for features in (split, other))
    assert one.penalty == two.penalty
    assert one.metrics == pytest.approx(two.metrics, rel=1e-3)


@pytest.mark.parametrize("shift", [0.0, 1e2, 1e4])
def test_features_may_be_far_from_zero(shift: float) -> None:
    split = draw_features()
    other = Split(split.images + np.float32(shift), split.labels)
    one, two = (solve(features, split_in_halves(split), CLASSES) for features in (split, other))
    assert one.penalty == two.penalty
    assert two.metrics == pytest.approx(one.metrics, rel=1e-2)


def test_features_that_tell_nothing() -> None:
    split = Split(np.zeros((40, 6), np.float32), np.arange(40) % CLASSES)
    solution = solve(split, split_in_halves(split), CLASSES)
    np.testing.assert_allclose(solution.layer(split.images), np.full((40, CLASSES), 1 / CLASSES), atol=1e-3)


def test_features_of_16_bits() -> None:
    split = draw_features()
    short = Split(split.images.astype(np.float16), split.labels)
    assert solve(short, split_in_halves(split), CLASSES).metrics["val_loss"] == pytest.approx(
        solve(split, split_in_halves(split), CLASSES).metrics["val_loss"], rel=1e-2
    )


@pytest.mark.parametrize("missing", [0, 2, 3])
def test_a_class_without_training_images(missing: int) -> None:
    split = draw_features()
    ((fitted, measured),) = split_in_halves(split)
    fold = Fold(fitted[split.labels[fitted] != missing], measured)
    solution = solve(split, [fold], CLASSES)
    probabilities = solution.layer(split.images)
    assert probabilities[:, missing].max() < 1e-6
    others = np.delete(probabilities, missing, axis=1)
    np.testing.assert_allclose(others, fit_directly(split, fold.fitted, solution.penalty)(split.images), atol=5e-3)
    assert np.isfinite(solution.metrics["val_loss"])


@pytest.mark.parametrize("only", [0, 1])
def test_a_class_alone_has_all_of_the_probability(only: int) -> None:
    split = draw_features(classes=2)
    ((fitted, measured),) = split_in_halves(split)
    fold = Fold(fitted[split.labels[fitted] == only], measured)
    solution = solve(split, [fold], 2)
    assert (solution.layer(split.images).argmax(axis=1) == only).all()
    assert solution.metrics["accuracy"] == 1
    assert solution.metrics["val_accuracy"] == pytest.approx(0.5)


def test_class_weights_count() -> None:
    split = draw_features()
    rare = np.flatnonzero((split.labels != 1) | (np.arange(COUNT) % 20 == 1))
    split = split.take(rare)
    random = np.random.default_rng(0).permutation(len(split))
    split = split.take(random)
    counts = np.bincount(split.labels[: len(split) // 2])
    weights = list(len(split) // 2 / (CLASSES * counts))
    plain, weighted = (solve(split, split_in_halves(split), CLASSES, weighting) for weighting in (None, weights))
    ((fitted, _),) = split_in_halves(split)
    expected = fit_directly(split, fitted, weighted.penalty, weights)(split.images)
    np.testing.assert_allclose(weighted.layer(split.images), expected, atol=5e-3)
    of_the_rare = split.images[split.labels == 1]
    assert (weighted.layer(of_the_rare).argmax(1) == 1).mean() > (plain.layer(of_the_rare).argmax(1) == 1).mean()


def test_a_penalty_is_chosen_on_a_sample_and_the_layer_is_fitted_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    split = draw_features()
    fold = split_in_halves(split)
    sample = np.linspace(0, 99, 40).astype(np.int64)
    monkeypatch.setattr(solver, "SAMPLE", 40)
    solution = solve(split, fold, CLASSES)
    expected = compute_losses(split, sample, fold[0].measured)
    spread = np.sqrt(split.images[:40].var(axis=0).mean()) / np.sqrt(split.images.var(axis=0).mean())
    assert spread == pytest.approx(1, abs=0.1)  # so that the two penalties mean much the same
    assert solution.penalty == PENALTIES[int(np.argmin(expected))]
    assert solution.metrics["val_loss"] == pytest.approx(min(expected), rel=0.02)
    of_all = fit_directly(split, fold[0].fitted, solution.penalty)(split.images)
    of_sample = fit_directly(split, sample, solution.penalty)(split.images)
    np.testing.assert_allclose(solution.layer(split.images), of_all, atol=0.02)
    assert np.abs(of_sample - of_all).max() > 0.1


def solve_in_folds(split: Split, seed: int = 0) -> Solution:
    return solve(split, make_folds(split, 5, seed), CLASSES)


def test_in_folds_no_image_is_measured_by_a_layer_that_knows_it() -> None:
    """Labels without sense can be learnt by heart, but not be told of others."""
    split = Split(np.random.default_rng(0).normal(size=(60, 300)).astype(np.float32), np.arange(60) % CLASSES)
    solution = solve_in_folds(split)
    assert solution.metrics["accuracy"] == 1
    assert solution.metrics["val_accuracy"] < 0.5
    assert solution.metrics["val_loss"] > solution.metrics["loss"]


def test_in_folds_metrics_are_of_all_images_and_the_layer_is_fitted_to_all() -> None:
    split = draw_features()
    folds = make_folds(split, 5, 0)
    solution = solve_in_folds(split)
    right, total = [], []
    for fold in folds:
        probabilities = fit_directly(split, fold.fitted, solution.penalty)(split.images[fold.measured])
        labels = split.labels[fold.measured]
        right += list(probabilities.argmax(1) == labels)
        total += list(-np.log(probabilities[np.arange(len(labels)), labels]))
    assert len(right) == COUNT
    assert solution.metrics["val_accuracy"] == pytest.approx(np.mean(right), abs=0.011)
    assert solution.metrics["val_loss"] == pytest.approx(np.mean(total), rel=1e-2)
    whole = fit_directly(split, np.arange(COUNT), solution.penalty)(split.images)
    np.testing.assert_allclose(solution.layer(split.images), whole, atol=5e-3)
    assert solution.metrics["accuracy"] == pytest.approx((whole.argmax(1) == split.labels).mean(), abs=0.011)


@pytest.mark.parametrize("make", [split_in_halves, lambda split: make_folds(split, 3, 5)])
def test_it_is_the_same_each_time(make: Any) -> None:
    split = draw_features()
    one, other = (solve(split, make(split), CLASSES) for _ in range(2))
    assert (one.metrics, one.penalty) == (other.metrics, other.penalty)
    np.testing.assert_array_equal(one.layer.kernel, other.layer.kernel)
    np.testing.assert_array_equal(one.layer.bias, other.layer.bias)


def test_it_can_be_stopped_between_two_fits_and_warns_of_nothing() -> None:
    heard: list[float] = []

    class StopError(Exception):
        """Somebody wants it to stop."""

    def check(done: float) -> None:
        heard.append(done)
        if len(heard) == 2:
            raise StopError

    with warnings.catch_warnings(), pytest.raises(StopError):
        warnings.simplefilter("error")
        solve(draw_features(), split_in_halves(draw_features()), CLASSES, check=check)
    assert heard == [1 / 6, 2 / 6]


def make_network(*end: Any) -> Any:
    return keras.Sequential([keras.Input((6,)), *end])


def test_the_last_layer_of_a_network() -> None:
    dense = layers.Dense(3, activation="softmax")
    assert find_last_layer(make_network(layers.ReLU(), dense)) is dense


@pytest.mark.parametrize(
    ("end", "name"),
    [
        ([layers.Dense(3)], "dense"),
        ([layers.Dense(3, activation="softmax", use_bias=False)], "dense"),
        ([layers.Dense(3), layers.Softmax(name="end")], "end"),
        ([layers.Dense(3, activation="sigmoid", name="last")], "last"),
    ],
)
def test_a_network_with_another_end_is_refused(end: list[Any], name: str) -> None:
    with pytest.raises(PluginError, match=rf"Phase\(is_solved=True\) is for .*, not with '{name}") as raised:
        find_last_layer(make_network(*end))
    assert "\n" not in str(raised.value)
