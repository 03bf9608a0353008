"""Optimizers and learning-rate schedules: Keras' own, but for Muon."""

from typing import Any

import keras
from keras import ops

from searchcnn.study import Recipe
from searchcnn.training.muon import Muon

WARM_UP = 0.3
"""Fraction of the steps in which `one_cycle` rises to its peak (arXiv:1708.07120, as set in fast.ai's
`fit_one_cycle`)."""
START = 25.0
"""`one_cycle` starts at the peak divided by this (same source)."""
LINEAR_WARM_UP = 0.15
"""Fraction of the steps in which `linear` rises to its peak."""


class Linear(keras.optimizers.schedules.LearningRateSchedule):
    """Rises to a peak in a straight line, and falls to zero in another (Bergsma et al. 2025, arXiv:2502.15938).

    Args:
        peak: The largest learning rate.
        steps: Batches until zero.

    Attributes:
        peak: The largest learning rate.
        warm_up: Batches until then.
        steps: Batches until zero.
    """

    def __init__(self, peak: float, steps: int) -> None:
        self.peak = peak
        self.warm_up = max(1, int(LINEAR_WARM_UP * steps))
        self.steps = max(steps, self.warm_up + 1)

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate of a step, from 0."""
        step = ops.cast(step, "float32")
        rising, falling = (step + 1) / self.warm_up, (self.steps - step) / (self.steps - self.warm_up)
        return self.peak * ops.clip(ops.minimum(rising, falling), 0.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments, as Keras asks for them."""
        return {"peak": self.peak, "steps": self.steps}


def make_optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Makes the recipe's optimizer, its learning rate on the recipe's schedule.

    Args:
        recipe: The training recipe.
        steps_per_epoch: Batches of one epoch.
    """
    learning_rate = _make_learning_rate(recipe, recipe.epochs * steps_per_epoch)
    if recipe.optimizer == "muon":
        dtype = "bfloat16" if recipe.precision == "mixed_bfloat16" else "float32"
        return Muon(learning_rate, recipe.weight_decay, dtype)
    options: dict[str, Any] = {"learning_rate": learning_rate}
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
    if recipe.schedule == "linear":
        return Linear(peak, steps)
    if recipe.schedule == "step":
        return schedules.PiecewiseConstantDecay([steps // 2, 3 * steps // 4], [peak, peak / 10, peak / 100])
    return peak  # constant; plateau is a callback
