"""Trains the trials of a study: the evaluator that is given to the search."""

import functools
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import keras
import keras_tuner

from searchcnn.backend import clear_keras, free_graphs, keep_settings
from searchcnn.data import Dataset
from searchcnn.errors import InfeasibleError, PluginError, get_message, nearest
from searchcnn.events import Note
from searchcnn.graph import is_augmented
from searchcnn.pixels import PixelRange, detect_range
from searchcnn.search import Cost, Evaluation, InterruptedTrialError, Trial, TrialPrunedError, check_limits
from searchcnn.search.hyperparameters import CheckedHyperParameters, TrialHyperParameters
from searchcnn.spaces.joint import JointSpace
from searchcnn.spaces.space import SearchSpace
from searchcnn.store import LAST, STRETCHES
from searchcnn.study import StudyConfig
from searchcnn.study.rules import RULES, Rules
from searchcnn.training.callbacks import Reporter, explain_lag
from searchcnn.training.candidate import Candidate, ask_for_training, count_parts
from searchcnn.training.checkpoint import Checkpoints
from searchcnn.training.features import FeatureCache
from searchcnn.training.inputs import Inputs
from searchcnn.training.last_layer import is_compiled
from searchcnn.training.loop import TrainingLoop
from searchcnn.training.network import adopt_policy, build, make_classifier
from searchcnn.training.recipe import choose_settings, leave_alone, sample_recipe
from searchcnn.training.waiting import WaitingNetworks, can_wait

ACCURACIES = ("accuracy", "acc", "categorical_accuracy", "sparse_categorical_accuracy")
"""Names that the accuracy can have among the metrics."""
LARGE_GAP = 0.3
"""Difference of the accuracies in training and in validation that is worth a note."""


class Point(NamedTuple):
    """A given point of a search space.

    Attributes:
        values: All its hyperparameters, as the study's joint space has them.
        cost: What its network costs.
        is_solved: Whether a solver trains its network.
    """

    values: dict[str, Any]
    cost: Cost
    is_solved: bool


class Trainer:
    """Builds, trains and scores the network of a trial.

    Args:
        config: The study.
        dataset: Its images.
        spaces: Its search spaces by name.
        checkpoints: From which interrupted trials resume; without, they begin again.
        rules: Those that the study was begun with; see `searchcnn.study.rules`.
        features: Where features of the images are kept; the cache that all studies share by default.

    Attributes:
        space: Its search spaces as one.
        inputs: Its images, as networks take them.
        parts: Epochs that a plan divides one pass over the training images into.
    """

    def __init__(
        self,
        config: StudyConfig,
        dataset: Dataset,
        spaces: Mapping[str, SearchSpace],
        checkpoints: Checkpoints | None = None,
        rules: Rules = RULES,
        features: FeatureCache | None = None,
    ) -> None:
        self.config = config
        self.space = JointSpace(spaces)
        self.inputs = Inputs(config, dataset, features, changes_live=not rules.views_are_kept)
        self._checkpoints = checkpoints
        self.builders_count = rules.builders_count
        self.parts = count_parts(len(dataset.train), dataset.input_shape)
        self._waiting = WaitingNetworks()
        self._noted: set[str] = set()

    def __call__(self, trial: Trial) -> Evaluation:
        """Evaluates a trial; see `searchcnn.search.Evaluator`."""
        with keep_settings(), free_graphs():
            try:
                return self._evaluate(trial)
            except Exception as error:
                if not _is_out_of_memory(error):
                    raise
            trial.restart()
            try:
                return self._evaluate(trial, batch_fraction=0.5)
            except Exception as error:
                if not _is_out_of_memory(error):
                    raise
                raise InfeasibleError("out of memory", get_message(error)[:200]) from error

    def _evaluate(self, trial: Trial, batch_fraction: float = 1.0) -> Evaluation:
        """Trains a trial from its first sampled value to its last epoch, or from the end of its last stretch on."""
        with trial.spent.timed("building"):
            loop = self._go_on(trial) or self._begin(trial, batch_fraction)
        candidate, reporter = loop.candidate, loop.run()
        if candidate.hp.active != trial.facts["hyperparameters"]:  # the space's own `fit` has asked for more
            trial.describe(hyperparameters=candidate.hp.active)
        if reporter.ending == "interrupted":
            raise InterruptedTrialError
        if not candidate.recipe.is_solved:  # a solver has penalties against it, and no dropout
            self._note_gap(candidate, trial, reporter)
        evaluation = self._score(candidate, trial, reporter)
        if can_wait(candidate) and batch_fraction == 1:
            self._waiting.keep(trial.number, candidate)
        return evaluation

    def _begin(self, trial: Trial, batch_fraction: float) -> TrainingLoop:
        """Builds the trial's network, and returns what trains it."""
        clear_keras()
        keras.utils.set_random_seed(trial.seed)
        candidate = self._sample(trial, batch_fraction)
        check_limits(candidate.cost, self.config.limits)
        trial.check_cost(candidate.cost, candidate.space.name)
        trial.check_new(candidate.hp.active)
        candidate.initialize()
        return self._make_loop(candidate, trial)

    def _go_on(self, trial: Trial) -> TrainingLoop | None:
        """Returns what trains on a network that has waited in memory; its weights are those of its checkpoint.

        Keras is not cleared: TensorFlow would have to compile again what it has traced.

        Returns:
            None if there is no such network, or no checkpoint.
        """
        candidate = self._waiting.take(trial.number)
        if candidate is None or not trial.is_resumed:
            return None
        if self.builders_count:
            adopt_policy(candidate.space)
        loop = self._make_loop(self._describe(candidate, trial), trial)
        return loop if loop.resumes else None

    def _sample(self, trial: Trial, batch_fraction: float) -> Candidate:
        """Samples the trial's candidate and describes it."""
        hp = TrialHyperParameters(trial)
        try:
            candidate = self.sample(hp)
        except (Exception, SystemExit):
            trial.note(space=self.space.find_name(hp.values), hyperparameters=hp.active)
            raise
        recipe = candidate.recipe
        if batch_fraction < 1:
            recipe = replace(recipe, batch_size=max(1, round(batch_fraction * recipe.batch_size)))
            trial.note(batch_size=recipe.batch_size)
        return self._describe(replace(candidate, recipe=recipe), trial)

    def _describe(self, candidate: Candidate, trial: Trial) -> Candidate:
        """Describes the trial's candidate, and returns it as it is trained."""
        if candidate.recipe.pixels:
            trial.note(pixels=candidate.recipe.pixels)
        candidate = self._divide(candidate, trial)
        cost = candidate.cost
        trial.describe_network(
            space=candidate.space.name, hyperparameters=candidate.hp.active, params=cost.params, macs=cost.macs
        )
        return candidate

    def _divide(self, candidate: Candidate, trial: Trial) -> Candidate:
        """Returns a candidate that is trained in the trial's stretches, if there is a plan and it can be."""
        if not candidate.is_divisible:
            trial.train_whole()
        if not trial.stretches:
            return candidate
        trial.note(**{STRETCHES: list(trial.stretches), LAST: trial.is_last})
        return candidate.divide(trial.stretches, self.parts)

    def _make_loop(self, candidate: Candidate, trial: Trial) -> TrainingLoop:
        can_resume = self._checkpoints is not None and not candidate.space.has_own_fit
        checkpoint = self._checkpoints.get_path(trial.number) if self._checkpoints and can_resume else None
        return TrainingLoop(candidate, trial, self.config, self.inputs, self.builders_count, checkpoint)

    def _score(self, candidate: Candidate, trial: Trial, reporter: Reporter) -> Evaluation:
        """Returns the evaluation of a training, by how it ended."""
        if reporter.ending == "pruned":
            raise TrialPrunedError
        if reporter.ending == "too slow":
            raise InfeasibleError("too slow", f"not trained in {self.config.limits.trial_timeout:g} s")
        if reporter.ending == "unaffordable":
            raise InfeasibleError("too slow", f"an epoch takes more than {trial.max_pace:.3g} s", excess=1.0)
        if reporter.ending == "NaN" or trial.best is None:
            return Evaluation(math.nan)
        if "solved" in trial.facts and reporter.epochs > 1:
            trial.note(tuned=True)
        loss = reporter.find_metrics(trial.best).get("val_loss", math.inf)
        trial.describe(stopped=reporter.ending or "finished", **({"val_loss": loss} if math.isfinite(loss) else {}))
        is_cut = reporter.ending == "timeout"
        return Evaluation(trial.best, self.make_classifier(candidate), is_cut, candidate.recipe.to_dict())

    def sample(self, hp: keras_tuner.HyperParameters) -> Candidate:
        """Builds the network and the recipe that ``hp`` stands for, and asks for everything that training will ask for.

        Raises:
            PluginError: If the network is not one for the study.
        """
        space, dataset = self.space.choose(hp), self.inputs.dataset
        if self.builders_count:
            adopt_policy(space)
        model = build(space, hp, dataset.input_shape, dataset.num_classes)
        compiled = is_compiled(model)
        is_solved = all(phase.is_solved for phase in ask_for_training(space, hp, model, not compiled))
        if self.config.data.folds and not is_solved:
            raise PluginError(
                f"data.folds measures heads on features that are solved, but search space '{space.name}' trains its "
                "networks by steps; leave data.folds out, or search 'transfer' with options.transfer.linear = true"
            )
        is_plain = not (compiled or space.has_own_fit or is_augmented(model))
        suited = self._suited if is_plain else leave_alone(self._suited)
        pixels = self._find_pixels(space, model)
        recipe = sample_recipe(hp, self.config.training, compiled, suited, pixels, is_solved)
        return Candidate(space, hp, model, recipe)

    @functools.cached_property
    def _suited(self) -> dict[str, Any]:
        return choose_settings(self.inputs.dataset)

    def _find_pixels(self, space: SearchSpace, model: keras.Model) -> PixelRange | None:
        """Returns the pixels that a network which preprocesses them itself was made for; None for one that does not."""
        is_detected = self.builders_count and self.config.training.detect_scaling
        pixels = detect_range(model) if is_detected else None
        return "0..1" if pixels is None and space.own_preprocessing else pixels

    def make_classifier(self, candidate: Candidate) -> keras.Model:
        """Returns a trained network as a classifier, from raw pixels to class probabilities."""
        normalization = self.inputs.make_normalization(candidate.recipe.normalization)
        return make_classifier(candidate.model, self.inputs.dataset.input_shape, normalization)

    def resolve_point(self, name: str, values: Mapping[str, Any]) -> Point:
        """Returns a point of a search space with all its hyperparameters.

        Args:
            name: The search space.
            values: Values by hyperparameter; what they do not name has its default.

        Raises:
            PluginError: If there is no such point.
        """
        full = self.space.members[name].name_values(values)
        with keep_settings():
            candidate = self.sample(CheckedHyperParameters(full))
            active = candidate.hp.active
            if unknown := [key for key in full if key not in active]:
                hint = nearest(unknown[0], active)
                raise PluginError(f"'{unknown[0]}' is not a hyperparameter of this point{hint}")
            return Point(active, candidate.cost, candidate.recipe.is_solved)

    def _note_gap(self, candidate: Candidate, trial: Trial, reporter: Reporter) -> None:
        """Says that a network does far better in training than in validation, once for each search space."""
        name, metrics = candidate.space.name, reporter.last_metrics
        pairs = [(metrics[key], metrics[f"val_{key}"]) for key in ACCURACIES if {key, f"val_{key}"} <= metrics.keys()]
        train_score, validation_score = next(iter(pairs), (0.0, 0.0))
        if train_score - validation_score < LARGE_GAP or name in self._noted:
            return
        self._noted.add(name)
        steps = candidate.count_steps(len(self.inputs.dataset.train))
        reason = (
            explain_lag(candidate.model, steps)
            or "it has memorised its training images; augmentation or dropout may help"
        )
        scores = f"accuracy {train_score:.4f} in training, {validation_score:.4f} in validation"
        text = f"trial {trial.number}: {scores}: {reason}"
        trial.hear(Note(text))


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (InfeasibleError, PluginError, TrialPrunedError, InterruptedTrialError)):
        return False
    if isinstance(error, MemoryError):
        return True
    text = f"{type(error).__name__}: {error}".lower()
    return any(sign in text for sign in ("resourceexhausted", "resource_exhausted", "out of memory", "oom when"))
