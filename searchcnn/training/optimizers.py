"""Optimizers and learning-rate schedules: Keras' own, but for Muon."""

from typing import Any

import keras
from keras import ops

from searchcnn.keras_private import find_schedule
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


class SharedSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule for training steps that TensorFlow compiles: computed once in each, and never compiled again.

    Keras asks for the learning rate again for each weight that decays: for a residual network of 24 weights, steps of
    AdamW in one cycle took 3.0 s of the processor to trace and compile, and 1.4 s since. The schedule's numbers are
    variables, so that another one like it can take its place; see `restart_optimizer`.

    Args:
        schedule: One of Keras' own.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule) -> None:
        self.schedule = schedule
        vars(schedule).update(keras.tree.map_structure(_make_variable, vars(schedule)))
        self._graph: Any = None
        self._rate: Any = None

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate of a step."""
        import tensorflow as tf

        if tf.executing_eagerly():
            return self.schedule(step)
        graph = tf.compat.v1.get_default_graph()
        if graph is not self._graph:
            self._graph, self._rate = graph, self.schedule(step)
        return self._rate

    def adopt(self, schedule: keras.optimizers.schedules.LearningRateSchedule) -> None:
        """Becomes another schedule, of the same class."""
        pairs = zip(keras.tree.flatten(vars(self.schedule)), keras.tree.flatten(vars(schedule)), strict=True)
        for setting, value in pairs:
            if isinstance(setting, keras.Variable):
                setting.assign(value)


def _make_variable(setting: Any) -> Any:
    is_number = isinstance(setting, (int, float))
    return keras.Variable(setting, trainable=False, dtype="float32") if is_number else setting


def share_schedule(optimizer: keras.optimizers.Optimizer) -> None:
    """Has an optimizer of TensorFlow compute its schedule, if it has one, once in a step; see `SharedSchedule`."""
    schedule = find_schedule(optimizer)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        optimizer.learning_rate = SharedSchedule(schedule)


def restart_optimizer(model: keras.Model, recipe: Recipe, steps_per_epoch: int) -> None:
    """Has a network's optimizer begin again, as a new one would, while its compiled training step stays.

    Args:
        model: The network, compiled with the same recipe, but for the epochs and the learning rate; its optimizer's
            schedule is shared.
        recipe: The training recipe.
        steps_per_epoch: Batches of one epoch.
    """
    new = make_optimizer(recipe, steps_per_epoch)
    new.build(model.trainable_variables)
    for variable, value in zip(model.optimizer.variables, new.variables, strict=True):
        variable.assign(value)
    schedule = find_schedule(model.optimizer)
    if isinstance(schedule, SharedSchedule):
        schedule.adopt(find_schedule(new))
