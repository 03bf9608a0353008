"""Trains a network that a search has found again, on other images: those of a fold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from searchcnn.backend import clear_keras
from searchcnn.data import Fold, Split
from searchcnn.search.hyperparameters import CheckedHyperParameters
from searchcnn.study import Recipe
from searchcnn.training.callbacks import BatchStatistics, BestWeights, PlainMetrics
from searchcnn.training.candidate import Candidate
from searchcnn.training.features import Check, FeatureCache, Images
from searchcnn.training.fit import Stretch, fit_phase
from searchcnn.training.trainer import Trainer


@dataclass(frozen=True)
class Training:
    """How a trial was trained.

    Attributes:
        hyperparameters: Its hyperparameters, as the study's joint space has them.
        recipe: Its recipe.
        stretches: Epochs of each of its stretches; none where it was trained all at once.
        seed: Seed of everything random.
    """

    hyperparameters: Mapping[str, Any]
    recipe: Recipe
    stretches: tuple[int, ...]
    seed: int


class FoldFeatures(FeatureCache):
    """Features of the images of a fold: those of all images are computed once, for all folds.

    Args:
        data: As in `FeatureCache`.
        limit: As in `FeatureCache`.
        images: All images.
        fold: The fold.
    """

    def __init__(self, data: str, limit: int, images: Split, fold: Fold) -> None:
        super().__init__(data, limit)
        self._images = images
        self._fold = fold

    def compute_cached(
        self, network: keras.Model, check: Check, train: list[Images], validation: Images
    ) -> tuple[Split, Split]:
        """Returns what `FeatureCache.compute_cached` does."""
        views = [replace(images, split=self._images, name="all") for images in train]
        changed, plain = super().compute_cached(network, check, views, views[0])
        return changed.take(self._fold.fitted), plain.take(self._fold.measured)


class EpochCount(keras.callbacks.Callback):
    """Counts epochs over all phases of a training.

    Args:
        total: The number of epochs that there will be.
        check: Hears the fraction that is done.

    Attributes:
        done: The number of epochs so far.
    """

    def __init__(self, total: int, check: Check) -> None:
        super().__init__()
        self.done = 0
        self._total = total
        self._check = check

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Counts an epoch."""
        self.done += 1
        self._check(min(1.0, self.done / self._total))


def train_again(trainer: Trainer, training: Training, check: Check) -> keras.Model:
    """Trains a trial's network from its first weights on, as the trial did, on the images of a trainer.

    Args:
        trainer: Its validation images end the training early where the recipe says so, as in a search.
        training: How the trial was trained.
        check: Hears the fraction that is done; it may raise to stop.

    Returns:
        The network as a classifier, from raw pixels to class probabilities.
    """
    clear_keras()
    keras.utils.set_random_seed(training.seed)
    candidate = trainer.sample(CheckedHyperParameters(dict(training.hyperparameters)))
    candidate = replace(candidate, recipe=training.recipe)
    if training.stretches:
        candidate = candidate.divide(training.stretches, trainer.parts)
    candidate.initialize()
    best = BestWeights(candidate.model, trainer.config.objective)
    count = EpochCount(candidate.recipe.epochs, check)
    for phase in candidate.phases():
        left = candidate.recipe.epochs - count.done
        if left <= 0:
            break
        if phase.is_solved:
            solution = trainer.inputs.solve(candidate, lambda done: None)
            best.set_model(candidate.model)
            best.on_epoch_end(0, solution.metrics)
            count.on_epoch_end(0)
        else:
            _fit(trainer, candidate.during(phase, left), training.seed, best, count)
    return trainer.make_classifier(candidate)


def _fit(trainer: Trainer, candidate: Candidate, seed: int, best: BestWeights, count: EpochCount) -> None:
    """Fits the network, in one phase of its training."""
    watched = _make_early_stopping(trainer, candidate)
    statistics = [BatchStatistics()] if trainer.builders_count else []
    short, train, validation = trainer.inputs.shorten(candidate, lambda done: None)
    stretch = Stretch(
        train,
        validation,
        seed,
        [PlainMetrics(), *statistics, best, *watched, count],
        normalization=trainer.inputs.make_normalization(candidate.recipe.normalization),
        own_batch_size=trainer.builders_count,
    )
    fit_phase(short, stretch)
    best.restore()


def _make_early_stopping(trainer: Trainer, candidate: Candidate) -> Sequence[Any]:
    objective, recipe = trainer.config.objective, candidate.recipe
    watch = {"monitor": objective.metric, "mode": objective.mode}
    finite = keras.callbacks.TerminateOnNaN()
    if candidate.stretches:
        return [finite]
    stopping = keras.callbacks.EarlyStopping(**watch, patience=recipe.patience)
    if recipe.schedule != "plateau":
        return [stopping, finite]
    return [stopping, finite, keras.callbacks.ReduceLROnPlateau(**watch, factor=0.5, patience=2)]
