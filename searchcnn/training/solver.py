"""Fits a softmax layer on features that nothing changes: a convex problem, brought to its optimum by a solver."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from searchcnn.data import Fold, Split
from searchcnn.errors import PluginError
from searchcnn.graph import is_softmax
from searchcnn.keras_private import find_operation

PENALTIES = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""L2 penalties that are tried, on the weights of features whose variance is 1 on average, for the mean loss: the
strongest first, each fit beginning at the last one. With pooled features of EfficientNet-Lite0 the least loss in
validation was at 0.03 for 2,934 photos of flowers, at 0.1 for 25 of them, and at 0.001 for 640 photos of 16 objects."""
MAX_STEPS = 300
"""Maximum number of steps of the solver for one penalty."""
SAMPLE = 20_000
"""Number of images on which the penalty is chosen; the last fit is to all."""

WORTH_THREADS = 20_000_000
"""Numbers to fit to from which several threads are worth the time that they wait for each other: with 3.8 million, two
threads on two busy cores took ten times as long as one."""
MEASURED = frozenset(("accuracy", "loss", "val_accuracy", "val_loss"))
"""Metrics of what is solved."""

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Softmax:
    """A softmax layer.

    Attributes:
        kernel: Shape (features, classes).
        bias: Shape (classes,).
    """

    kernel: Floats
    bias: Floats

    def __call__(self, features: Floats) -> Floats:
        """Returns the probabilities of features, shape (samples, features), as (samples, classes)."""
        scores = features @ self.kernel + self.bias
        parts = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: Floats = parts / parts.sum(axis=1, keepdims=True)
        return probabilities


@dataclass(frozen=True)
class Solution:
    """What a solver has found.

    Attributes:
        layer: The softmax layer.
        penalty: The L2 penalty with the smallest loss in validation.
        metrics: ``accuracy`` and ``loss`` on the images that it is fitted to, and those of validation, ``val_...``.
    """

    layer: Softmax
    penalty: float
    metrics: dict[str, float]


def find_last_layer(model: keras.Model) -> keras.layers.Dense:
    """Returns the layer that gives a network's probabilities.

    Raises:
        PluginError: If it is not `Dense` with a bias and a softmax, whose optimum a solver finds.
    """
    layer = find_operation(model.outputs[0])
    if not is_softmax(layer) or not layer.use_bias:
        raise PluginError(
            f"Phase(is_solved=True) is for networks that end with Dense(classes, activation='softmax'), not with "
            f"'{layer.name}'; end the network like that, or yield a phase that is trained"
        )
    return layer


def solve(
    features: Split,
    folds: Sequence[Fold],
    classes: int,
    weights: Sequence[float] | None = None,
    check: Callable[[float], None] = lambda done: None,
) -> Solution:
    """Fits a softmax layer with the L2 penalty that has the smallest loss in validation.

    Multinomial logistic regression, by L-BFGS (scikit-learn's). The metrics of validation are those of layers that
    were not fitted to the images that they are measured on. With one fold, its layer is returned; with several, one
    that is fitted to all images.

    Args:
        features: Shape (samples, features), and their labels.
        folds: What is fitted to, and what is measured on.
        classes: Number of classes.
        weights: Weight of an image by its class, of shape (classes,); all count the same without.
        check: Called between two fits with the fraction that is done, 0..1; it may raise to stop.
    """
    fit = _Fit(features, classes, *_measure_scale(features.images), weights)
    best = fit.choose(folds, check)
    fitted = folds[0].fitted if len(folds) == 1 else np.arange(len(features))
    is_done = len(folds) == 1 and len(fitted) <= SAMPLE
    layer = best.layers[0] if is_done else fit(_make_solver(), fitted, best.penalty)
    metrics = _measure(layer(fit.read_floats(fitted)), features.labels[fitted])
    return Solution(layer, best.penalty, metrics | {f"val_{name}": value for name, value in best.metrics.items()})


class _Attempt(NamedTuple):
    """What one penalty gave: the layers of all folds, and their metrics on the images that they were not fitted to."""

    penalty: float
    layers: Sequence[Softmax]
    metrics: dict[str, float]


@dataclass(frozen=True)
class _Fit:
    """Fits softmax layers to some of the features, centred: far from zero, the solver would need many more steps."""

    features: Split
    classes: int
    centre: Floats
    spread: float
    weights: Sequence[float] | None

    def choose(self, folds: Sequence[Fold], check: Callable[[float], None]) -> _Attempt:
        """Tries penalties until the loss in validation rises; returns the attempt with the smallest."""
        best: _Attempt | None = None
        for number, attempt in enumerate(self.try_penalties(folds)):
            check((number + 1) / len(PENALTIES))
            if best is not None and attempt.metrics["loss"] > best.metrics["loss"]:
                break
            best = attempt
        assert best is not None
        return best

    def try_penalties(self, folds: Sequence[Fold]) -> Iterator[_Attempt]:
        """Yields what each penalty gives; each fit begins where that of the last penalty has ended."""
        solvers = [_make_solver() for _ in folds]
        measured = np.concatenate([fold.measured for fold in folds])
        for penalty in PENALTIES:
            pairs = zip(solvers, folds, strict=True)
            layers = [self(solver, _take_sample(fold.fitted), penalty) for solver, fold in pairs]
            unseen = [layer(self.read_floats(fold.measured)) for layer, fold in zip(layers, folds, strict=True)]
            yield _Attempt(penalty, layers, _measure(np.concatenate(unseen), self.features.labels[measured]))

    def __call__(self, solver: Any, fitted: Indices, penalty: float) -> Softmax:
        labels = self.features.labels[fitted]
        if len(present := np.unique(labels)) == 1:  # in a fold without the one image of the other class, say
            return self._make_layer(present, np.zeros((1, self.features.images.shape[1])), np.zeros(1))
        shares = None if self.weights is None else np.asarray(self.weights, np.float32)[labels]
        threads = 1 if len(fitted) * self.features.images.shape[1] < WORTH_THREADS else None
        with warnings.catch_warnings(), threadpool_limits(threads, "blas"):
            warnings.simplefilter("ignore")  # of a fit that has not quite come to its end
            solver.set_params(C=1 / (penalty * len(fitted)))
            solver.fit((self.read_floats(fitted) - self.centre) / np.float32(self.spread), labels, shares)
        weights, scores = solver.coef_ / self.spread, solver.intercept_
        if len(weights) == 1:  # of two classes, one score gives both
            weights, scores = np.concatenate([np.zeros_like(weights), weights]), np.array([0.0, scores[0]])
        return self._make_layer(solver.classes_, weights, scores - weights @ self.centre)

    def read_floats(self, indices: Indices) -> Floats:
        """Returns some of the features."""
        return np.asarray(self.features.images[indices], np.float32)

    def _make_layer(self, present: Indices, weights: Any, scores: Any) -> Softmax:
        """Returns what was fitted as a layer; a class without images gets next to no probability."""
        kernel = np.zeros((weights.shape[1], self.classes), np.float32)
        bias = np.full(self.classes, scores.min() - 30, np.float32)
        kernel[:, present], bias[present] = weights.T, scores
        return Softmax(kernel, bias)


def _make_solver() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=MAX_STEPS, warm_start=True)


def _take_sample(indices: Indices) -> Indices:
    positions = np.linspace(0, len(indices) - 1, min(SAMPLE, len(indices)))
    return indices[positions.astype(np.int64)]


def _measure_scale(features: Any) -> tuple[Floats, float]:
    """Returns the mean of the features, and the root of their mean variance."""
    some = np.asarray(features[:SAMPLE], np.float32)
    return some.mean(axis=0), float(np.sqrt(some.var(axis=0).mean())) or 1.0


def _measure(probabilities: Floats, labels: Indices) -> dict[str, float]:
    right = probabilities[np.arange(len(labels)), labels]
    return {
        "accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        "loss": float(-np.log(np.maximum(right, keras.config.epsilon())).mean()),
    }
