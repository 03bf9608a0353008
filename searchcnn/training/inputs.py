"""What the networks of a study get: images, normalised; or features of frozen networks, computed once."""

import functools
from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np

from searchcnn.data import Dataset, Fold, Split, make_folds
from searchcnn.study import Recipe, StudyConfig
from searchcnn.study.values import NormalizationName
from searchcnn.training.candidate import Candidate
from searchcnn.training.features import FeatureCache, Images, split_frozen
from searchcnn.training.fit import weigh_classes
from searchcnn.training.normalization import Normalization
from searchcnn.training.solver import Solution, find_last_layer, solve

Check = Callable[[float], None]
"""Called with the fraction of some work that is done, 0..1; raises to stop it."""


def identify_images(config: StudyConfig, dataset: Dataset) -> str:
    """Returns what identifies the parts of a study's images."""
    near = " near copies" if config.data.group_near_copies else ""
    return f"{dataset.fingerprint} {config.data.validation} {config.data.test} {config.seed}{near}"


class Inputs:
    """The images of a study, in the form in which networks take them.

    Args:
        config: The study.
        dataset: Its images.
        features: Where features of them are kept; the cache that all studies share by default.
        changes_live: Whether images that are changed at random are changed again in each epoch before a frozen part,
            too; see `searchcnn.study.rules`.
    """

    def __init__(
        self, config: StudyConfig, dataset: Dataset, features: FeatureCache | None = None, changes_live: bool = False
    ) -> None:
        self.dataset = dataset
        self._config = config
        self._changes_live = changes_live
        self._features = features or FeatureCache(identify_images(config, dataset), config.limits.feature_cache)
        self._normalizations: dict[NormalizationName, Normalization] = {}

    def make_normalization(self, kind: NormalizationName) -> Normalization:
        """Returns the normalisation of a kind; its statistics are computed once."""
        if kind not in self._normalizations:
            self._normalizations[kind] = Normalization.of(kind, self.dataset.train.images)
        return self._normalizations[kind]

    def shorten(self, candidate: Candidate, check: Check) -> tuple[Candidate, Split, Split]:
        """Returns a candidate without the part of its network that always computes the same, and features as images.

        Images that are changed at random are seen in a few views then, and the recipe changes them no more. Where there
        is no such part, or its features cannot be cached, it is the whole network.

        Args:
            candidate: What is to be trained.
            check: Hears how far the features are.

        Returns:
            The candidate; images, or features of them, to train on, and to measure on.
        """
        whole = candidate, self.dataset.train, self.dataset.validation
        recipe = candidate.recipe
        is_changing = bool(recipe.augmentation) and (self._changes_live or recipe.augmentation.blends)
        is_divisible = recipe.compiles and not candidate.space.has_own_fit and not is_changing
        parts = split_frozen(candidate.model) if is_divisible else None
        if parts is None:
            return whole
        frozen, rest = parts
        train, validation = self._make_images(recipe)
        views = train.make_views(recipe.augmentation, recipe.epochs)
        if not self._features.fits(frozen, *views, validation):
            return whole
        try:
            features = self._features.compute_cached(frozen, check, views, validation)
        except OSError:  # a full disk, say: training takes longer without, that is all
            return whole
        return replace(candidate, model=rest, recipe=recipe.without_changes()), *features

    def solve(self, candidate: Candidate, check: Check) -> Solution:
        """Gives the softmax layer at the end of a network its best weights for the features before it.

        Args:
            candidate: What is to be trained.
            check: Hears how far the features are.
        """
        last, recipe = find_last_layer(candidate.model), candidate.recipe
        before = keras.Model(candidate.model.inputs[0], last.input)
        train, validation = self._features.compute(before, check, *self._make_images(recipe))
        pooled = train.join(validation)
        labels = (pooled if self._config.data.folds else train).labels
        weights = weigh_classes(labels) if recipe.class_weights else None
        solution = solve(pooled, self._folds, self.dataset.num_classes, weights, lambda done: check(1.0))
        last.set_weights([solution.layer.kernel, solution.layer.bias])
        return solution

    def _make_images(self, recipe: Recipe) -> tuple[Images, Images]:
        """Returns the images to train on and to measure on as the network gets them."""
        normalization = self.make_normalization(recipe.normalization)
        train, validation = self.dataset.train, self.dataset.validation
        return Images(train, "train", normalization), Images(validation, "validation", normalization)

    @functools.cached_property
    def _folds(self) -> list[Fold]:
        """How images to train on and to measure on, one after the other, are divided for a solver."""
        train, validation = self.dataset.train, self.dataset.validation
        if self._config.data.folds:
            return make_folds(train.join(validation), self._config.data.folds, self._config.seed)
        count = len(train) + len(validation)
        return [Fold(np.arange(len(train)), np.arange(len(train), count))]
