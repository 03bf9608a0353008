"""Trains the trials of a study: the evaluator that is given to the search."""

import contextlib
import functools
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import keras
import numpy as np

from searchcnn.backend import clear_keras, free_graphs, keep_settings
from searchcnn.data import Dataset, Fold, Split, make_folds
from searchcnn.errors import InfeasibleError, PluginError, nearest
from searchcnn.pixels import PixelRange, detect_range
from searchcnn.search import (
    Cost,
    Evaluation,
    InterruptedTrialError,
    OutOfTimeError,
    Trial,
    TrialPrunedError,
    check_limits,
)
from searchcnn.search.hyperparameters import CheckedHyperParameters, TrialHyperParameters
from searchcnn.study import StudyConfig
from searchcnn.study.rules import BUILDERS_COUNT, RULES, VIEWS_ARE_KEPT
from searchcnn.training.backup import Backup
from searchcnn.training.callbacks import BatchStatistics, BestWeights, PlainMetrics, Reporter, lagging
from searchcnn.training.checkpoint import Checkpoints
from searchcnn.training.cost import cost
from searchcnn.training.features import FeatureCache, Images, divide
from searchcnn.training.fit import ask, balanced, fit_phase, has_own_fit, initialize, objective_of, phases
from searchcnn.training.network import adopt_policy, build, classifier, is_compiled, without_heads
from searchcnn.training.normalization import Normalization
from searchcnn.training.recipe import Recipe, sample_recipe
from searchcnn.training.solver import last_layer, solve

ACCURACIES = ("accuracy", "acc", "categorical_accuracy", "sparse_categorical_accuracy")
"""Names that the accuracy may have among the metrics."""
LARGE_GAP = 0.3
"""Difference of the accuracies in training and in validation that is worth a word."""


class Trainer:
    """Builds, trains and scores the network of a trial.

    Args:
        config: The study.
        dataset: Its images.
        spaces: Its search spaces, Keras Tuner hypermodels by name.
        checkpoints: From which interrupted trials go on; without, they begin anew.
        rules: Those that the study was begun with; see `searchcnn.study.rules`.

    Attributes:
        normalization: Returns the normalisation of a kind; its statistics are computed once.
    """

    def __init__(
        self,
        config: StudyConfig,
        dataset: Dataset,
        spaces: Mapping[str, Any],
        checkpoints: Checkpoints | None = None,
        rules: int = RULES,
    ) -> None:
        self.config = config
        self.dataset = dataset
        self.spaces = spaces
        self._checkpoints = checkpoints
        self._builders_count = rules >= BUILDERS_COUNT
        self._is_live = rules < VIEWS_ARE_KEPT
        self._noted: set[str] = set()
        data = f"{dataset.fingerprint} {config.data.validation} {config.data.test} {config.seed}"
        self._features = FeatureCache(data, config.limits.feature_cache)
        self.normalization = functools.cache(functools.partial(Normalization.of, images=dataset.train.images))

    def __call__(self, trial: Trial) -> Evaluation:
        """Evaluates a trial; see `searchcnn.search.Evaluator`."""
        with keep_settings(), free_graphs():
            try:
                return self._train(trial)
            except Exception as error:
                if not _is_out_of_memory(error):
                    raise
            trial.begin_again()
            try:
                return self._train(trial, batch_part=0.5)
            except Exception as error:
                if not _is_out_of_memory(error):
                    raise
                raise InfeasibleError("out of memory", str(error).splitlines()[0][:200]) from error

    def _train(self, trial: Trial, batch_part: float = 1.0) -> Evaluation:
        clear_keras()
        keras.utils.set_random_seed(trial.seed)
        hp = TrialHyperParameters(trial)
        try:
            name, space, model, recipe = self.sample(hp)
        except (Exception, SystemExit):
            trial.note(space=hp.values.get("space", next(iter(self.spaces))), hyperparameters=hp.active)
            raise
        if batch_part < 1:
            recipe = replace(recipe, batch_size=max(1, round(batch_part * recipe.batch_size)))
            trial.note(batch_size=recipe.batch_size)
        price = cost(without_heads(model))
        if recipe.pixels:
            trial.note(pixels=recipe.pixels)
        trial.describe(space=name, hyperparameters=hp.active, params=price.params, macs=price.macs)
        check_limits(price, self.config.limits)
        with self.scope(hp, name):
            initialize(space, hp, model)
            reporter = self.fit(space, hp, model, recipe, trial)
        if hp.active != trial.facts["hyperparameters"]:  # the space's own `fit` has asked for more
            trial.describe(hyperparameters=hp.active)
        if reporter.ending == "interrupted":
            raise InterruptedTrialError
        if not recipe.is_solved:  # a solver has penalties against it, and no dropout
            self._note_gap(trial, name, model, reporter, self._steps(recipe))
        if reporter.ending == "pruned":
            raise TrialPrunedError
        if reporter.ending == "too slow":
            raise InfeasibleError("too slow", f"not trained in {self.config.limits.trial_timeout:g} s")
        if reporter.ending == "NaN" or trial.best is None:
            return Evaluation(math.nan)
        if "solved" in trial.facts and reporter.epochs > 1:
            trial.note(tuned=True)
        trial.describe(stopped=reporter.ending or "finished")
        return Evaluation(trial.best, self.finished(model, recipe), reporter.ending == "timeout", asdict(recipe))

    def sample(self, hp: Any) -> tuple[str, Any, Any, Recipe]:
        """Builds the network and the recipe that ``hp`` stands for, and asks for all that training will ask for.

        Returns:
            The search space's name, the space, the network and its recipe.
        """
        if len(self.spaces) == 1:
            (name,) = self.spaces
        else:
            name = hp.Choice("space", list(self.spaces))
        space = self.spaces[name]
        if self._builders_count:
            adopt_policy(space)
        with self.scope(hp, name):
            model = build(space, hp, self.dataset.input_shape, self.dataset.num_classes)
            is_solved = all(phase.is_solved for phase in ask(space, hp, model, not is_compiled(model)))
        if self.config.data.folds and not is_solved:
            raise PluginError(
                f"data.folds measures heads on features that are solved, but search space '{name}' trains its networks "
                "by steps; leave data.folds out, or search 'transfer' with options.transfer.linear = true"
            )
        pixels = self._own_pixels(space, model)
        return name, space, model, sample_recipe(hp, self.config.training, is_compiled(model), pixels, is_solved)

    def _own_pixels(self, space: Any, model: Any) -> PixelRange | None:
        """Returns the pixels that a network was made for which preprocesses them itself; None for one that does not."""
        is_detected = self._builders_count and self.config.training.detect_scaling
        found = detect_range(model) if is_detected else None
        return "0..1" if found is None and getattr(space, "own_preprocessing", False) else found

    def statistics(self) -> list[Any]:
        """Returns callbacks that look after batch normalisation."""
        return [BatchStatistics()] if self._builders_count else []

    def finished(self, model: Any, recipe: Recipe) -> Any:
        """Returns a trained network as a classifier, from raw pixels to class probabilities."""
        return classifier(model, self.dataset.input_shape, self.normalization(recipe.normalization))

    def scope(self, hp: Any, name: str) -> contextlib.AbstractContextManager[Any]:
        """Gives a search space's hyperparameters a scope of their own where several spaces are searched."""
        scope: contextlib.AbstractContextManager[Any] = hp.name_scope(name)
        return scope if len(self.spaces) > 1 else contextlib.nullcontext()

    def point(self, name: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], Cost, Recipe]:
        """Returns all hyperparameters of a point of a search space, what its network costs, and its recipe.

        Args:
            name: The search space.
            values: Values by hyperparameter; what they do not name has its default.
        """
        with keep_settings():
            return self._point(name, values)

    def _point(self, name: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], Cost, Recipe]:
        several = len(self.spaces) > 1
        given = {f"{name}/{key}": value for key, value in values.items()} if several else dict(values)
        hp = CheckedHyperParameters({**given, "space": name} if several else given)
        _, _, model, recipe = self.sample(hp)
        unknown = [key for key in given if key not in hp.active]
        if unknown:
            raise PluginError(f"'{unknown[0]}' is not a hyperparameter of this point{nearest(unknown[0], hp.active)}")
        return hp.active, cost(without_heads(model)), recipe

    def fit(self, space: Any, hp: Any, model: Any, recipe: Recipe, trial: Trial) -> Reporter:
        """Trains a network with early stopping; it has its best epoch's weights afterwards.

        Returns:
            The reporter, which knows why training ended.
        """
        search = self.config.search
        best = BestWeights(model, search.objective, search.maximize)
        backup = self._backup(space, model, recipe, trial, best)
        validation_steps = len(self.dataset.validation) / recipe.batch_size
        deadline = time.monotonic() + (self.config.limits.trial_timeout or math.inf)
        reporter = Reporter(trial, search.objective, self._steps(recipe), validation_steps, deadline, backup.save)
        left = backup.left
        if left is not None and not reporter.resume(left.epochs):
            return reporter
        for number, phase in enumerate(phases(space, hp, model, recipe.compiles)):
            if left is not None and number < left.phase:
                continue
            callbacks = self._callbacks(recipe)
            begun = backup.begin(number, reporter.epochs, callbacks)
            part = recipe.during(phase, recipe.epochs - begun)
            first = part.epochs if left is not None and left.is_over else reporter.epochs - begun
            left = None
            try:
                if phase.is_solved:
                    self._solve(model, recipe, trial, best, reporter)
                    if reporter.ending or reporter.epochs >= recipe.epochs:
                        break
                    continue
                network, part, train, validation = self._shortened(space, model, part, trial)
            except OutOfTimeError:
                if trial.best is None:
                    raise InterruptedTrialError from None  # nothing is known of it: it begins again, given more time
                reporter.ending = "timeout"
                break
            callbacks = [PlainMetrics(), *self.statistics(), best, *callbacks, reporter, backup]
            returned = fit_phase(
                *(space, hp, network, part, train, validation, trial.seed, callbacks, first),
                normalization=self.normalization(recipe.normalization),
                own_batch_size=self._builders_count,
            )
            best.restore()
            if reporter.ending or reporter.epochs >= recipe.epochs:
                break
        if trial.best is None and reporter.ending in ("", "timeout"):
            trial.best = objective_of(returned, search.objective)
        return reporter

    def _steps(self, recipe: Recipe) -> int:
        return math.ceil(len(self.dataset.train) / recipe.batch_size)

    def _note_gap(self, trial: Trial, name: str, model: Any, reporter: Reporter, steps: int) -> None:
        """Says that a network does far better in training than in validation, once of each search space."""
        metrics = reporter.last_metrics
        pairs = [(metrics[one], metrics[f"val_{one}"]) for one in ACCURACIES if {one, f"val_{one}"} <= metrics.keys()]
        seen, unseen = next(iter(pairs), (0.0, 0.0))
        if seen - unseen < LARGE_GAP or name in self._noted:
            return
        self._noted.add(name)
        reason = lagging(model, steps) or "it knows its training images by heart; augmentation or dropout may help"
        trial.say(f"trial {trial.number}: accuracy {seen:.4f} in training, {unseen:.4f} in validation: {reason}")

    def _shortened(self, space: Any, model: Any, recipe: Recipe, trial: Trial) -> tuple[Any, Recipe, Split, Split]:
        """Returns the network without the part that always computes the same, and that part's features as images.

        Images that are changed at random are seen in a few views then, and the recipe changes them no more. Where there
        is no such part, or its features cannot be kept, it is the whole network.
        """
        whole = model, recipe, self.dataset.train, self.dataset.validation
        is_changing = bool(recipe.augmentation) and (self._is_live or bool(recipe.mixup))
        parts = divide(model) if recipe.compiles and not has_own_fit(space) and not is_changing else None
        if parts is None:
            return whole
        frozen, rest = parts
        train, validation = self._images(recipe)
        views = train.views(recipe.augmentation, recipe.epochs)
        if not self._features.fits(frozen, *views, validation):
            return whole
        try:
            return rest, recipe.without_changes(), *self._features.features(frozen, trial.check, views, validation)
        except OSError:  # a full disk, say: training takes longer without, and that is all
            return whole

    def _images(self, recipe: Recipe) -> tuple[Images, Images]:
        """Returns the images to train on and to validate with as the network gets them."""
        normalization = self.normalization(recipe.normalization)
        named = (self.dataset.train, "train"), (self.dataset.validation, "validation")
        train, validation = (Images(split, name, normalization) for split, name in named)
        return train, validation

    def _solve(self, model: Any, recipe: Recipe, trial: Trial, best: BestWeights, reporter: Reporter) -> None:
        """Gives the softmax layer at the end of a network its best weights for the features before it."""
        began = time.monotonic()
        last = last_layer(model)
        before = keras.Model(model.inputs[0], last.input)
        train, validation = self._features.compute(before, trial.check, *self._images(recipe))
        pooled = _pooled(train, validation)
        weights = balanced((pooled if self.config.data.folds else train).labels) if recipe.class_weights else None
        solution = solve(pooled, self._folds, self.dataset.num_classes, weights, lambda done: trial.check(1.0))
        last.set_weights([solution.layer.kernel, solution.layer.bias])
        trial.note(penalty=solution.penalty, solved=solution.metrics[self.config.search.objective])
        best.set_model(model)
        best.on_epoch_end(0, solution.metrics)
        reporter.report_solution(solution.metrics, time.monotonic() - began)

    @functools.cached_property
    def _folds(self) -> list[Fold]:
        """How images to train on and to validate with, one after the other, are divided for a solver."""
        train, validation = self.dataset.train, self.dataset.validation
        if self.config.data.folds:
            return make_folds(_pooled(train, validation), self.config.data.folds, self.config.seed)
        count = len(train) + len(validation)
        return [Fold(np.arange(len(train)), np.arange(len(train), count))]

    def _backup(self, space: Any, model: Any, recipe: Recipe, trial: Trial, best: BestWeights) -> Backup:
        """Returns what keeps the trial's checkpoint; a search space's own ``fit`` can only begin anew."""
        path = None if self._checkpoints is None or has_own_fit(space) else self._checkpoints.path(trial.number)
        return Backup(path, self._key(trial, recipe.batch_size), model, best)

    def _key(self, trial: Trial, batch_size: int) -> dict[str, Any]:
        """Returns what a checkpoint must share with a trial."""
        return {
            "seed": trial.seed,
            "hyperparameters": trial.facts["hyperparameters"],
            "training": self.config.training.model_dump(exclude={"detect_scaling"}),  # older checkpoints have none
            "batch_size": batch_size,
            "data": self.dataset.fingerprint,
        }

    def _callbacks(self, recipe: Recipe) -> list[Any]:
        watch = {
            "monitor": self.config.search.objective,
            "mode": "max" if self.config.search.maximize else "min",
        }
        stop = keras.callbacks.EarlyStopping(**watch, patience=recipe.patience)
        finite = keras.callbacks.TerminateOnNaN()
        if recipe.schedule != "plateau":
            return [stop, finite]
        return [stop, finite, keras.callbacks.ReduceLROnPlateau(**watch, factor=0.5, patience=2)]


def _pooled(train: Split, validation: Split) -> Split:
    images = np.concatenate([train.images[:], validation.images[:]])
    return Split(images, np.concatenate([train.labels, validation.labels]))


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (InfeasibleError, PluginError, TrialPrunedError, InterruptedTrialError)):
        return False
    if isinstance(error, MemoryError):
        return True
    text = f"{type(error).__name__}: {error}".lower()
    return any(sign in text for sign in ("resourceexhausted", "resource_exhausted", "out of memory", "oom when"))
