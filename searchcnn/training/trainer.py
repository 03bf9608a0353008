"""Trains the trials of a study: the evaluator that is given to the search."""

import contextlib
import inspect
import math
import numbers
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import keras_tuner

from searchcnn.data import Dataset, arrays, batches
from searchcnn.errors import InfeasibleError, PluginError, nearest
from searchcnn.search import Cost, Evaluation, InterruptedTrialError, Trial, TrialPrunedError, check_limits
from searchcnn.search.hyperparameters import CheckedHyperParameters, TrialHyperParameters
from searchcnn.study import StudyConfig
from searchcnn.training.callbacks import Reporter
from searchcnn.training.cost import cost
from searchcnn.training.network import build, compile_model, is_compiled, wants_one_hot
from searchcnn.training.recipe import Recipe, sample_recipe

VALIDATION_BATCH = 512
"""Images per validation step: no gradients are kept, so it can be larger than a training batch."""


class Trainer:
    """Builds, trains and scores the network of a trial.

    Args:
        config: The study.
        dataset: Its images.
        spaces: Its search spaces, Keras Tuner hypermodels by name.
    """

    def __init__(self, config: StudyConfig, dataset: Dataset, spaces: Mapping[str, Any]) -> None:
        self.config = config
        self.dataset = dataset
        self.spaces = spaces

    def __call__(self, trial: Trial) -> Evaluation:
        """Evaluates a trial; see `searchcnn.search.Evaluator`."""
        try:
            return self._train(trial)
        except (InfeasibleError, PluginError, TrialPrunedError, InterruptedTrialError):
            raise
        except Exception as error:
            if _is_out_of_memory(error):
                raise InfeasibleError("out of memory", str(error).splitlines()[0][:200]) from error
            raise

    def _train(self, trial: Trial) -> Evaluation:
        forget()
        keras.utils.set_random_seed(trial.seed)
        hp = TrialHyperParameters(trial)
        try:
            name, space, model, recipe = self.sample(hp)
        except Exception:
            trial.note(space=hp.values.get("space", next(iter(self.spaces))), hyperparameters=hp.active)
            raise
        price = cost(model)
        trial.describe(space=name, hyperparameters=hp.active, params=price.params, macs=price.macs)
        check_limits(price, self.config.limits)
        with self._scope(hp, name):
            reporter = self.fit(space, hp, model, recipe, trial)
        if hp.active != trial.facts["hyperparameters"]:  # the space's own `fit` has asked for more
            trial.describe(hyperparameters=hp.active)
        if reporter.ending == "interrupted":
            raise InterruptedTrialError
        if reporter.ending == "pruned":
            raise TrialPrunedError
        if reporter.ending == "NaN" or trial.best is None:
            return Evaluation(math.nan)
        trial.describe(stopped=reporter.ending or "finished")
        return Evaluation(trial.best, model, is_cut=reporter.ending == "timeout")

    def sample(self, hp: Any) -> tuple[str, Any, Any, Recipe]:
        """Builds the network and the recipe that ``hp`` stands for.

        Returns:
            The search space's name, the space, the network and its recipe.
        """
        if len(self.spaces) == 1:
            (name,) = self.spaces
        else:
            name = hp.Choice("space", list(self.spaces))
        space = self.spaces[name]
        with self._scope(hp, name):
            model = build(space, hp, self.dataset.input_shape, self.dataset.num_classes)
        return name, space, model, sample_recipe(hp, self.config.training, is_compiled(model))

    def _scope(self, hp: Any, name: str) -> contextlib.AbstractContextManager[Any]:
        """Gives a search space's hyperparameters a scope of their own where several spaces are searched."""
        scope: contextlib.AbstractContextManager[Any] = hp.name_scope(name)
        return scope if len(self.spaces) > 1 else contextlib.nullcontext()

    def preset(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns all hyperparameters of a point of a search space; what ``values`` does not name has its default."""
        several = len(self.spaces) > 1
        given = {f"{name}/{key}": value for key, value in values.items()} if several else dict(values)
        hp = CheckedHyperParameters({**given, "space": name} if several else given)
        self.sample(hp)
        unknown = [key for key in given if key not in hp.active]
        if unknown:
            raise PluginError(f"'{unknown[0]}' is no hyperparameter of this point{nearest(unknown[0], hp.active)}")
        return hp.active

    def cost(self, preset: Mapping[str, Any]) -> Cost:
        """Returns what the network with the given hyperparameters costs."""
        return cost(self.sample(CheckedHyperParameters(dict(preset)))[2])

    def fit(self, space: Any, hp: Any, model: Any, recipe: Recipe, trial: Trial) -> Reporter:
        """Trains a network with early stopping; it has its best epoch's weights afterwards.

        Returns:
            The reporter, which knows why training ended.
        """
        data, objective = self.dataset, self.config.search.objective
        steps = math.ceil(len(data.train) / recipe.batch_size)
        if not is_compiled(model):
            compile_model(model, recipe, steps)
        classes = data.num_classes if wants_one_hot(model) else None
        reporter = Reporter(trial, objective, steps, len(data.validation) / recipe.batch_size)
        with warnings.catch_warnings():
            # The batches are shuffled already, by the trial's seed; Keras warns where a `fit` asks for it once more.
            warnings.filterwarnings("ignore", "`shuffle=True` was passed")
            returned = space.fit(
                hp,
                model,
                *self._images(space, recipe, trial.seed, classes),
                **self._options(space, recipe, classes),
                callbacks=[reporter, *self._callbacks(recipe)],
            )
        if trial.best is None and reporter.ending in ("", "timeout"):
            trial.best = _objective_of(returned, objective)
        return reporter

    def _images(self, space: Any, recipe: Recipe, seed: int, classes: int | None) -> tuple[Any, ...]:
        """Returns the training images as batches, or as arrays ``x, y`` where a space's own ``fit`` names ``y``."""
        if _takes_arrays(space):
            return arrays(self.dataset.train, one_hot=classes)
        return (batches(self.dataset.train, recipe.batch_size, seed=seed, one_hot=classes),)

    def _options(self, space: Any, recipe: Recipe, classes: int | None) -> dict[str, Any]:
        """Returns what ``fit`` is told beside the images, as far as a space's own ``fit`` takes it."""
        split, named = self.dataset.validation, inspect.signature(space.fit).parameters
        whole = _takes_arrays(space)
        validation = arrays(split, one_hot=classes) if whole else batches(split, VALIDATION_BATCH, one_hot=classes)
        options = {"validation_data": validation, "epochs": recipe.epochs, "verbose": 0}
        if whole:
            options["batch_size"] = recipe.batch_size
        elif type(space).fit is keras_tuner.HyperModel.fit:
            options["shuffle"] = False
        any_name = any(parameter.kind is parameter.VAR_KEYWORD for parameter in named.values())
        return {key: value for key, value in options.items() if any_name or key in named}

    def _callbacks(self, recipe: Recipe) -> list[Any]:
        watch = {
            "monitor": self.config.search.objective,
            "mode": "max" if self.config.search.maximize else "min",
        }
        stop = keras.callbacks.EarlyStopping(**watch, patience=recipe.patience, restore_best_weights=True)
        finite = keras.callbacks.TerminateOnNaN()
        if recipe.schedule != "plateau":
            return [stop, finite]
        return [stop, finite, keras.callbacks.ReduceLROnPlateau(**watch, factor=0.5, patience=2)]


def forget() -> None:
    """Frees what earlier networks have left in the framework."""
    keras.utils.clear_session()  # collects garbage too


def _takes_arrays(space: Any) -> bool:
    return "y" in inspect.signature(space.fit).parameters


def _objective_of(returned: Any, objective: str) -> float:
    """Returns the objective from what a search space's own ``fit`` returned, as Keras Tuner allows it.

    Raises:
        PluginError: If it is not there.
    """
    if isinstance(returned, list) and returned:
        return sum(_objective_of(one, objective) for one in returned) / len(returned)
    if isinstance(returned, numbers.Real):
        return float(returned)
    history = getattr(returned, "history", returned)
    if isinstance(history, Mapping) and objective in history:
        value = history[objective]
        return float(value[-1] if isinstance(value, list) else value)
    raise PluginError(
        f"fit() returned {type(returned).__name__} without '{objective}'; pass on `callbacks`, or return a History, "
        f"a dict with '{objective}', or its value"
    )


def _is_out_of_memory(error: BaseException) -> bool:
    text = f"{type(error).__name__}: {error}".lower()
    return any(sign in text for sign in ("resourceexhausted", "resource_exhausted", "out of memory", "oom when"))
