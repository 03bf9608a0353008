"""Fits a candidate through its search space's ``fit``, for one phase of its training."""

import contextlib
import functools
import inspect
import itertools
import numbers
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from searchcnn.data import Split
from searchcnn.errors import PluginError
from searchcnn.keras_private import build_compiled
from searchcnn.spaces.space import SearchSpace
from searchcnn.training.candidate import Candidate
from searchcnn.training.labels import find_label_form
from searchcnn.training.last_layer import is_compiled
from searchcnn.training.network import compile_model
from searchcnn.training.normalization import SCALE, Normalization
from searchcnn.training.optimizers import restart_optimizer, share_schedule
from searchcnn.training.pipeline import Form, Passes, make_arrays, make_batches
from searchcnn.training.precision import train_fast
from searchcnn.training.scan import ScannedFit, Validation, fits_device

VALIDATION_BATCH = 512
"""Images per validation step: no gradients are kept, so it can be larger than a training batch."""
OPTIONS = ("validation_data", "epochs", "batch_size", "verbose", "callbacks")
"""What a search space's own ``fit`` may be given besides the images."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """What a stretch of training needs besides the candidate.

    Attributes:
        train: Images, or features of them, to train on.
        validation: Images, or features of them, to measure on.
        seed: Order of the training images.
        callbacks: Keras' callbacks.
        first: The epoch to begin with, from 0; later than 0 where another process has trained those before.
        normalization: Makes pixels what the network takes.
        own_batch_size: Whether to respect the batch size that a search space's own ``fit`` gives to ``model.fit``.
        is_eager: Whether steps are executed as Python says, without being compiled: for a single step that is far
            quicker with TensorFlow.
    """

    train: Split
    validation: Split
    seed: int
    callbacks: Sequence[Any] = ()
    first: int = 0
    normalization: Normalization = SCALE
    own_batch_size: bool = True
    is_eager: bool = False


def fit_phase(candidate: Candidate, stretch: Stretch) -> Any:
    """Compiles a candidate's network with its recipe, unless its builder has compiled it, and fits it.

    Returns:
        What the search space's ``fit`` returned: a ``History``, unless it has its own.
    """
    space, recipe = candidate.space, candidate.recipe
    form = compile_candidate(candidate, stretch)
    if can_scan(candidate, stretch):
        return _scan(candidate, stretch, form)
    make_train_batches = functools.partial(_make_train_batches, candidate, stretch, form)
    images = make_arrays(stretch.train, **form) if takes_arrays(space) else (make_train_batches(recipe.batch_size),)
    resize = functools.cache(make_train_batches) if stretch.own_batch_size else lambda size: images[0]
    with _allow_own_batch_sizes(candidate, images[0], resize), warnings.catch_warnings():
        # The batches are shuffled already, by the trial's seed; Keras warns where a `fit` asks for it again.
        warnings.filterwarnings("ignore", "`shuffle=True` was passed")
        options = _select_options(candidate, stretch, form)
        cut = [ValidateCut(options["validation_freq"])] if "validation_freq" in options else []
        with _train_fast(candidate) as callbacks:
            callbacks = [*callbacks, *stretch.callbacks, *cut]
            return space.fit(candidate.hp, candidate.model, *images, **options, callbacks=callbacks)


def can_scan(candidate: Candidate, stretch: Stretch) -> bool:
    """Whether a network is trained many steps at once: with JAX, as its recipe says, on images that fit the device."""
    is_jax = keras.backend.backend() == "jax" and not stretch.is_eager
    return is_jax and _is_ours(candidate) and fits_device(stretch.train, stretch.validation)


def _scan(candidate: Candidate, stretch: Stretch, form: Mapping[str, Any]) -> Any:
    """Fits a candidate as `fit_phase` does, many steps at once."""
    recipe, train, split = candidate.recipe, stretch.train, stretch.validation
    weights = weigh_classes(train.labels) if recipe.class_weights else None
    passes = Passes(train, recipe.batch_size, stretch.seed, recipe.augmentation, stretch.first, candidate.parts, True)
    interval = candidate.count_epochs_between_validations(len(train), len(split))
    validation = Validation(split, choose_validation_batch(len(split)), list_validated(recipe.epochs, interval))
    function = Form(form["labels"], stretch.normalization.make_function(), weights)
    key = f"{recipe.l1} {recipe.l2} {form['labels']} {stretch.normalization.describe()} {weights}"
    with _train_fast(candidate) as callbacks:
        scanned = ScannedFit(candidate.model, passes, function, validation, key)
        callbacks = [*callbacks, *stretch.callbacks, ValidateCut(validation.epochs)]
        return scanned.fit(recipe.epochs, stretch.first, callbacks)


def _train_fast(candidate: Candidate) -> contextlib.AbstractContextManager[list[Any]]:
    """Has training steps computed fast, unless the search space says how its networks are trained."""
    is_ours = _is_ours(candidate)
    return train_fast(candidate.model, candidate.recipe.precision) if is_ours else contextlib.nullcontext([])


def _is_ours(candidate: Candidate) -> bool:
    """Whether the study says how a network is trained, and what it computes with."""
    space = candidate.space
    return candidate.recipe.compiles and not space.has_own_fit and space.dtype_policy is None


def compile_candidate(candidate: Candidate, stretch: Stretch) -> dict[str, Any]:
    """Compiles a network with its recipe, unless its builder, or an earlier stretch, has compiled it.

    Returns:
        The form in which it takes images, and its loss labels: arguments of `make_batches`.
    """
    model, recipe, steps = candidate.model, candidate.recipe, candidate.count_steps(len(stretch.train))
    goes_on = bool(candidate.stretches) and is_compiled(model) and keras.backend.backend() == "tensorflow"
    if goes_on:
        restart_optimizer(model, recipe, steps)
    elif recipe.compiles:
        compile_model(model, recipe, steps, candidate.auxiliary_weight)
    if stretch.is_eager:
        model.run_eagerly = True
    form = {"labels": find_label_form(model), "normalization": stretch.normalization}
    if not (goes_on or stretch.is_eager):
        _ease_tracing(candidate, stretch, form)
    return form


def _ease_tracing(candidate: Candidate, stretch: Stretch, form: Mapping[str, Any]) -> None:
    """Has TensorFlow trace a network's steps quickly, unless its search space's own ``fit`` is to train it.

    A step that makes the variables of metrics and optimizer would be traced twice. Those of a residual network of 33
    layers took 2.0 s of the processor to trace and compile so, with Adam, and 1.0 s since.
    """
    is_ours = candidate.recipe.compiles and not candidate.space.has_own_fit
    if is_ours and keras.backend.backend() == "tensorflow":
        share_schedule(candidate.model.optimizer)
        build_compiled(candidate.model, make_arrays(stretch.validation.take(np.arange(1)), **form))


def read_score(returned: Any, metric: str) -> float:
    """Returns the value of a metric from what a search space's own ``fit`` returned, as Keras Tuner allows.

    Raises:
        PluginError: If it is not there.
    """
    if isinstance(returned, list) and returned:
        return sum(read_score(value, metric) for value in returned) / len(returned)
    if isinstance(returned, numbers.Real):
        return float(returned)
    history = getattr(returned, "history", returned)
    if isinstance(history, Mapping) and metric in history:
        value = history[metric]
        return float(np.mean(value[-1] if isinstance(value, list) else value))
    raise PluginError(
        f"fit() returned {type(returned).__name__} without '{metric}'; pass on `callbacks`, or return a History, "
        f"a dict with '{metric}', or its value"
    )


def _make_train_batches(candidate: Candidate, stretch: Stretch, form: Mapping[str, Any], batch_size: int) -> Any:
    recipe = candidate.recipe
    changes: dict[str, Any] = {"augmentation": recipe.augmentation}
    if recipe.class_weights:
        changes["class_weights"] = weigh_classes(stretch.train.labels)
    changes |= {"seed": stretch.seed, "first": stretch.first, "parts": candidate.parts}
    return make_batches(stretch.train, batch_size, **changes, **form)


@contextlib.contextmanager
def _allow_own_batch_sizes(candidate: Candidate, images: Any, resize: Callable[[int], Any]) -> Iterator[None]:
    """Respects the ``batch_size`` that a space's own ``fit`` gives to ``model.fit``.

    Keras ignores it where the images come as batches; they are made again then, in batches of that size. Where they
    come as arrays, the recipe's size is the default. It counts for any model: a space may train a copy of its network.

    Args:
        candidate: What is trained.
        images: The training images that the space's ``fit`` is given, as batches or an array.
        resize: Returns them in batches of another size.
    """
    if not candidate.space.has_own_fit:
        yield
        return
    fit = keras.Model.fit
    signature = inspect.signature(fit)

    def fit_in_batches(model: keras.Model, *arguments: Any, **options: Any) -> Any:
        passed: dict[str, Any] = {"verbose": 0, **signature.bind(model, *arguments, **options).arguments}
        size = passed.pop("batch_size", None)
        if isinstance(passed.get("x"), np.ndarray):
            passed["batch_size"] = size or candidate.recipe.batch_size
        elif size is not None and passed.get("x") is images:
            passed["x"] = resize(int(size))
        return fit(**passed)

    keras.Model.fit = fit_in_batches
    try:
        yield
    finally:
        del keras.Model.fit  # it is inherited


def _select_options(candidate: Candidate, stretch: Stretch, form: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what ``fit`` gets besides the images, as far as a space's own ``fit`` takes it."""
    space, recipe, split = candidate.space, candidate.recipe, stretch.validation
    size = choose_validation_batch(len(split))
    data = make_arrays(split, **form) if takes_arrays(space) else make_batches(split, size, **form)
    options = {"validation_data": data, "epochs": recipe.epochs}
    if not space.has_own_fit:
        interval = candidate.count_epochs_between_validations(len(stretch.train), len(split))
        options |= {"validation_freq": list_validated(recipe.epochs, interval)}
        return {**options, "verbose": 0, "shuffle": False, "initial_epoch": stretch.first}
    parameters = inspect.signature(space.fit_method).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    # what it may give to `model.fit` itself, as Keras Tuner's guide does, it gets only where it names it
    by_name = {"batch_size": recipe.batch_size, "verbose": 0}
    return {key: value for key, value in options.items() if takes_any or key in parameters} | {
        key: value for key, value in by_name.items() if key in parameters
    }


def choose_validation_batch(images: int) -> int:
    """Returns the number of images in a validation step.

    JAX compiles a step for each size of a batch, so that there they are of equal size if the number of images allows.

    Args:
        images: To validate on.
    """
    if keras.backend.backend() != "jax":
        return VALIDATION_BATCH
    sizes = range(VALIDATION_BATCH, VALIDATION_BATCH // 2, -1)
    return next((size for size in sizes if images % size == 0), VALIDATION_BATCH)


class ValidateCut(keras.callbacks.Callback):
    """Has an epoch validated that is cut short, whichever others are: what it has learned would be lost.

    It must come after the callbacks that stop a training.

    Args:
        validated: The epochs, from 1, that end with a validation, as ``model.fit`` was given them.
    """

    def __init__(self, validated: list[int]) -> None:
        super().__init__()
        self._validated = validated
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Notes the epoch."""
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Adds the epoch to those that are validated, if it is the last one."""
        if self.model.stop_training:
            self._validated.append(self._epoch)


def list_validated(epochs: int, interval: int) -> list[int]:
    """Returns the epochs, from 1, that end with a validation: one in so many, and the last one.

    >>> list_validated(7, 3)
    [3, 6, 7]
    """
    return [epoch for epoch in range(1, epochs + 1) if epoch % interval == 0 or epoch == epochs]


def weigh_classes(labels: npt.NDArray[np.int64]) -> list[float]:
    """Returns class weights with which all classes count the same, and an image 1 on average.

    Args:
        labels: Of all training images, shape (samples,).

    Returns:
        Samples / (classes that have any * samples of the class), shape (classes,).
    """
    counts = np.bincount(labels)
    return [len(labels) / (np.count_nonzero(counts) * max(count, 1)) for count in counts.tolist()]


def takes_arrays(space: SearchSpace) -> bool:
    """Whether a search space's own ``fit`` takes all images and labels at once, as arrays: ``fit(hp, model, x, y)``."""
    if not space.has_own_fit:
        return False
    parameters = list(inspect.signature(space.fit_method).parameters.values())[2:]  # after hp and model
    return (
        "y" in [parameter.name for parameter in parameters]
        or len([*itertools.takewhile(_is_for_images, parameters)]) > 1
    )


def _is_for_images(parameter: inspect.Parameter) -> bool:
    is_positional = parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    return is_positional and parameter.default is parameter.empty and parameter.name not in OPTIONS
