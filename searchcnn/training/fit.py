"""Fits a network through a search space's own ``fit`` hook, phase by phase."""

import contextlib
import functools
import inspect
import itertools
import math
import numbers
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import keras
import keras_tuner
import numpy as np
import numpy.typing as npt

from searchcnn.data import Split
from searchcnn.errors import PluginError
from searchcnn.spaces import AUXILIARY_WEIGHT, Phase, SearchSpace
from searchcnn.study import Recipe
from searchcnn.training.labels import label_form
from searchcnn.training.network import compile_model
from searchcnn.training.normalization import SCALE, Normalization
from searchcnn.training.pipeline import make_arrays, make_batches

VALIDATION_BATCH = 512
"""Images per validation step: no gradients are kept, so it can be larger than a training batch."""
OPTIONS = ("validation_data", "epochs", "batch_size", "verbose", "callbacks")
"""What a search space's own ``fit`` may be given beside the images."""


def initialize(space: Any, hp: Any, model: Any) -> None:
    """Gives a network that is going to be trained the pretrained weights of its search space, if there are any."""
    if isinstance(space, SearchSpace):
        space.initialize(hp, model)


def phases(space: Any, hp: Any, model: Any, compiles: bool) -> Iterator[Phase]:
    """Yields the phases of a network's training: one where the search space knows none or trains by itself.

    Args:
        space: Its search space.
        hp: The hyperparameters that it was built with.
        model: The network.
        compiles: Whether it is compiled by a recipe, and not by its builder.
    """
    if not (isinstance(space, SearchSpace) and compiles) or has_own_fit(space):
        yield Phase()
        return
    phase = None
    for phase in space.phases(hp, model):
        yield phase
    if phase is None:
        raise PluginError("phases(hp, model) yields nothing; expected at least one searchcnn.Phase")


def ask(space: Any, hp: Any, model: Any, compiles: bool) -> list[Phase]:
    """Asks for the hyperparameters that only training asks for, except for those of a search space's own ``fit``.

    The model's layers are left as the last phase trains them.

    Returns:
        The phases.
    """
    if compiles and len(model.outputs) > 1:
        _auxiliary_weight(space, hp)
    return list(phases(space, hp, model, compiles))


def prepare(
    space: Any, hp: Any, network: Any, recipe: Recipe, steps_per_epoch: int, normalization: Normalization
) -> dict[str, Any]:
    """Compiles a network with a recipe, unless its builder has compiled it.

    Returns:
        In what form it takes images and its loss wants the labels: arguments of `searchcnn.training.pipeline`.
    """
    if recipe.compiles:
        weight = _auxiliary_weight(space, hp) if len(network.outputs) > 1 else 0.0
        compile_model(network, recipe, steps_per_epoch, weight)
    return {"labels": label_form(network), "normalization": normalization}


def fit_phase(
    space: Any,
    hp: Any,
    network: Any,
    recipe: Recipe,
    train: Split,
    validation: Split,
    seed: int,
    callbacks: Sequence[Any] = (),
    first: int = 0,
    normalization: Normalization = SCALE,
    own_batch_size: bool = True,
) -> Any:
    """Prepares a network and fits it.

    Args:
        space: Its search space, a Keras Tuner hypermodel.
        hp: The hyperparameters that it was built with.
        network: What to train.
        recipe: How to train it.
        train: Images, or features of them, to train on.
        validation: Images, or features of them, to measure on.
        seed: Order of the training images.
        callbacks: Keras' callbacks.
        first: The epoch to begin with, from 0; later than 0 where another process has trained those before.
        normalization: Makes pixels what the network takes.
        own_batch_size: Whether the batch size counts that a space's own ``fit`` gives to ``model.fit``.

    Returns:
        What the search space's ``fit`` returned: a ``History``, unless it has its own.
    """
    form = prepare(space, hp, network, recipe, math.ceil(len(train) / recipe.batch_size), normalization)
    train_batches = functools.partial(_batches, train, recipe, seed, form, first)
    images = make_arrays(train, **form) if takes_arrays(space) else (train_batches(recipe.batch_size),)
    resized = functools.cache(train_batches) if own_batch_size else lambda size: images[0]
    own_sizes = _own_batch_sizes(images[0], resized, recipe) if has_own_fit(space) else nullcontext()
    with own_sizes, warnings.catch_warnings():
        # The batches are shuffled already, by the trial's seed; Keras warns where a `fit` asks for it once more.
        warnings.filterwarnings("ignore", "`shuffle=True` was passed")
        options = _options(space, validation, recipe, form, first)
        return space.fit(hp, network, *images, **options, callbacks=list(callbacks))


def objective_of(returned: Any, objective: str) -> float:
    """Returns the objective from what a search space's own ``fit`` returned, as Keras Tuner allows it.

    Raises:
        PluginError: If it is not there.
    """
    if isinstance(returned, list) and returned:
        return sum(objective_of(one, objective) for one in returned) / len(returned)
    if isinstance(returned, numbers.Real):
        return float(returned)
    history = getattr(returned, "history", returned)
    if isinstance(history, Mapping) and objective in history:
        value = history[objective]
        return float(np.mean(value[-1] if isinstance(value, list) else value))
    raise PluginError(
        f"fit() returned {type(returned).__name__} without '{objective}'; pass on `callbacks`, or return a History, "
        f"a dict with '{objective}', or its value"
    )


def has_own_fit(space: Any) -> bool:
    """Whether a search space trains its networks by itself."""
    return getattr(space.fit, "__func__", None) is not keras_tuner.HyperModel.fit


def _auxiliary_weight(space: Any, hp: Any) -> float:
    return space.auxiliary_weight(hp) if isinstance(space, SearchSpace) else AUXILIARY_WEIGHT


def _batches(split: Split, recipe: Recipe, seed: int, form: Mapping[str, Any], first: int, batch_size: int) -> Any:
    """Returns the training images as batches."""
    changes: dict[str, Any] = {"augmentation": recipe.augmentation}
    if recipe.class_weights:
        changes["class_weights"] = balanced(split.labels)
    return make_batches(split, batch_size, seed=seed, first=first, **changes, **form)


@contextlib.contextmanager
def _own_batch_sizes(images: Any, resized: Callable[[int], Any], recipe: Recipe) -> Iterator[None]:
    """Lets the ``batch_size`` count that a space's own ``fit`` gives to ``model.fit``.

    Keras ignores it where the images come as batches; they are made anew then, in batches of that size. Where they come
    as arrays, the recipe's size is the default. It counts for any model: the space may train a copy of the network.

    Args:
        images: The training images that the space's ``fit`` is given, as batches or an array.
        resized: Returns them in batches of another size.
        recipe: The recipe.
    """
    fit = keras.Model.fit
    signature = inspect.signature(fit)

    def fit_in_batches(model: Any, *arguments: Any, **options: Any) -> Any:
        given: dict[str, Any] = {"verbose": 0, **signature.bind(model, *arguments, **options).arguments}
        size = given.pop("batch_size", None)
        if isinstance(given.get("x"), np.ndarray):
            given["batch_size"] = size or recipe.batch_size
        elif size is not None and given.get("x") is images:
            given["x"] = resized(int(size))
        return fit(**given)

    keras.Model.fit = fit_in_batches
    try:
        yield
    finally:
        del keras.Model.fit  # it is inherited


def _options(space: Any, validation: Split, recipe: Recipe, form: Mapping[str, Any], first: int) -> dict[str, Any]:
    """Returns what ``fit`` is told beside the images, as far as a space's own ``fit`` takes it."""
    whole = takes_arrays(space)
    data = make_arrays(validation, **form) if whole else make_batches(validation, VALIDATION_BATCH, **form)
    options = {"validation_data": data, "epochs": recipe.epochs}
    if not has_own_fit(space):
        return {**options, "verbose": 0, "shuffle": False, "initial_epoch": first}
    named = inspect.signature(space.fit).parameters
    any_name = any(parameter.kind is parameter.VAR_KEYWORD for parameter in named.values())
    asked = {"batch_size": recipe.batch_size, "verbose": 0}  # what it may give itself, as Keras Tuner's guide does
    return {key: value for key, value in options.items() if any_name or key in named} | {
        key: value for key, value in asked.items() if key in named
    }


def balanced(labels: npt.NDArray[np.int64]) -> list[float]:
    """Returns class weights with which all classes count the same, and an image 1 on average.

    Args:
        labels: Of all training images, shape (samples,).

    Returns:
        Samples / (classes that have any * samples of the class), shape (classes,).
    """
    counts = np.bincount(labels)
    return [len(labels) / (np.count_nonzero(counts) * max(count, 1)) for count in counts.tolist()]


def takes_arrays(space: Any) -> bool:
    """Whether a search space's own ``fit`` takes all images and labels at once, as arrays: ``fit(hp, model, x, y)``."""
    if not has_own_fit(space):
        return False
    others = list(inspect.signature(space.fit).parameters.values())[2:]  # behind hp and model
    return "y" in [other.name for other in others] or len([*itertools.takewhile(_is_for_images, others)]) > 1


def _is_for_images(parameter: inspect.Parameter) -> bool:
    has_place = parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    return has_place and parameter.default is parameter.empty and parameter.name not in OPTIONS
