"""Optimizers and learning-rate schedules, all of them Keras' own."""

from typing import Any

import keras

from searchcnn.keras_private import find_schedule
from searchcnn.study import Recipe

WARM_UP = 0.3
"""Fraction of the steps in which `one_cycle` rises to its peak (arXiv:1708.07120, as set in fast.ai's
`fit_one_cycle`)."""
START = 25.0
"""`one_cycle` starts at the peak divided by this (same source)."""


def make_optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Makes the recipe's optimizer, its learning rate on the recipe's schedule.

    Args:
        recipe: The training recipe.
        steps_per_epoch: Batches of one epoch.
    """
    options: dict[str, Any] = {"learning_rate": _make_learning_rate(recipe, recipe.epochs * steps_per_epoch)}
    if recipe.weight_decay > 0:
        options["weight_decay"] = recipe.weight_decay
    elif recipe.optimizer == "adamw":
        options["weight_decay"] = 0.0
    if recipe.optimizer in ("sgd", "rmsprop"):
        options["momentum"] = recipe.momentum
    if recipe.optimizer == "sgd":
        options["nesterov"] = recipe.momentum > 0
    return keras.optimizers.get({"class_name": recipe.optimizer, "config": options})


def restart_optimizer(model: keras.Model, recipe: Recipe, steps_per_epoch: int) -> None:
    """Has a network's optimizer begin again, as a new one would, while its compiled training step stays.

    Args:
        model: The network; TensorFlow has compiled it with the same recipe, but for the epochs and the learning rate.
        recipe: The training recipe.
        steps_per_epoch: Batches of one epoch.
    """
    new = make_optimizer(recipe, steps_per_epoch)
    new.build(model.trainable_variables)
    for variable, value in zip(_list_numbers(model.optimizer), _list_numbers(new), strict=True):
        variable.assign(value)


def _list_numbers(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Returns the variables of an optimizer, and those of its schedule."""
    schedule = find_schedule(optimizer)
    is_variable = isinstance(schedule, keras.Variable)
    settings = [] if is_variable else keras.tree.flatten(vars(schedule))
    return [*optimizer.variables, *(setting for setting in settings if isinstance(setting, keras.Variable))]


def _make_learning_rate(recipe: Recipe, steps: int) -> Any:
    schedule = _make_schedule(recipe, steps)
    if isinstance(schedule, float) or keras.backend.backend() != "tensorflow":
        return schedule
    vars(schedule).update(keras.tree.map_structure(_make_variable, vars(schedule)))
    return schedule


def _make_variable(setting: Any) -> Any:
    """Makes a number of a schedule a variable, which a compiled training step reads, as it would not a constant."""
    is_number = isinstance(setting, (int, float))
    return keras.Variable(setting, trainable=False, dtype="float32") if is_number else setting


def _make_schedule(recipe: Recipe, steps: int) -> Any:
    peak, schedules = recipe.learning_rate, keras.optimizers.schedules
    if recipe.schedule == "cosine":
        return schedules.CosineDecay(peak, steps)
    if recipe.schedule == "one_cycle":
        warm_up = max(1, int(WARM_UP * steps))
        return schedules.CosineDecay(peak / START, max(1, steps - warm_up), warmup_target=peak, warmup_steps=warm_up)
    if recipe.schedule == "step":
        return schedules.PiecewiseConstantDecay([steps // 2, 3 * steps // 4], [peak, peak / 10, peak / 100])
    return peak  # constant; plateau is a callback
