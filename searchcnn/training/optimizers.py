"""Optimizers and learning-rate schedules, all of them Keras' own."""

from typing import Any

import keras

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


def _make_learning_rate(recipe: Recipe, steps: int) -> Any:
    peak, schedules = recipe.learning_rate, keras.optimizers.schedules
    if recipe.schedule == "cosine":
        return schedules.CosineDecay(peak, steps)
    if recipe.schedule == "one_cycle":
        warm_up = max(1, int(WARM_UP * steps))
        return schedules.CosineDecay(peak / START, max(1, steps - warm_up), warmup_target=peak, warmup_steps=warm_up)
    if recipe.schedule == "step":
        return schedules.PiecewiseConstantDecay([steps // 2, 3 * steps // 4], [peak, peak / 10, peak / 100])
    return peak  # constant; plateau is a callback
