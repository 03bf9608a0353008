"""What happens at each batch and epoch: progress, the learning curve, pruning, the deadline, the user's stop."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np

from searchcnn.events import Epoch
from searchcnn.graph import find_leaves, name_outputs
from searchcnn.search import Trial
from searchcnn.study import Objective

Ending = Literal["", "pruned", "timeout", "too slow", "unaffordable", "interrupted", "NaN"]
UNUSED = ("interrupted", "too slow", "unaffordable")
"""Endings of which the last, unfinished epoch is not used."""

MEASURED_BATCHES = 5
"""Batches after which the seconds of an epoch are known well enough to end a training that will take too long."""

PROGRESS_INTERVAL = 0.1
"""Seconds between two progress reports."""

DEFAULT_MOMENTUM = 0.99
"""Momentum of Keras' ``BatchNormalization``."""
INITIAL_FRACTION = 1e-4
"""Fraction of the initial statistics of batch normalisation that is left after an epoch. With 32 steps of a network of
six convolutions on digits, validation accuracy was 0.13 after the first epoch with Keras' momentum, 0.54 with 1e-2,
0.68 with 1e-4, 0.69 with 1e-6; after five epochs 0.17, 0.98, 0.98 and 0.99 (mean of three seeds)."""

LARGE_FRACTION = 0.1
"""Fraction of the initial statistics that is too much after an epoch."""

FORWARD_FRACTION = 1 / 3
"""Fraction of a training step that a forward pass takes: two more passes compute gradients."""


class PlainMetrics(keras.callbacks.Callback):
    """Makes each metric one number, and names those of a network's first output as if it had no other.

    Keras names them after the output: ``val_main_accuracy`` becomes ``val_accuracy``, ``main_loss`` becomes ``loss``;
    what was ``loss`` before, the weighted sum over all outputs, becomes ``total_loss``. A metric with a value for each
    class, as ``F1Score()`` is, becomes their mean. It must come before callbacks that read metrics.

    Attributes:
        averaged: Names of the metrics that had several values.
    """

    def __init__(self) -> None:
        super().__init__()
        self.averaged: set[str] = set()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Changes the metrics."""
        if logs is None:
            return
        self._average(logs)
        self._rename(logs)

    def _average(self, logs: dict[str, Any]) -> None:
        for name, value in logs.items():
            if np.size(value) > 1:
                self.averaged.add(name)
                logs[name] = float(np.mean(value))

    def _rename(self, logs: dict[str, Any]) -> None:
        model: Any = self.model  # a `fit` of its own may train any model
        first, *others = name_outputs(model) if getattr(model, "outputs", ()) else ("",)
        if not others:
            return
        for prefix in ("", "val_"):
            own = f"{prefix}{first}_"
            theirs = tuple(f"{prefix}{other}_" for other in others if other.startswith(f"{first}_"))
            mine = [key for key in logs if key.startswith(own) and not key.startswith(theirs)]
            renamed = {prefix + key.removeprefix(own): logs[key] for key in mine}
            self.averaged |= {prefix + key.removeprefix(own) for key in mine if key in self.averaged}
            if f"{prefix}loss" in renamed:
                logs[f"{prefix}total_loss"] = logs[f"{prefix}loss"]
            logs.update(renamed)


class BatchStatistics(keras.callbacks.Callback):
    """Lets the statistics of batch normalisation keep up with short epochs.

    With Keras' default momentum, 0.99, they are those of the last few hundred steps; where an epoch has fewer, they are
    still near their initial values when the network is validated. Another momentum is the author's choice.
    """

    def __init__(self) -> None:
        super().__init__()
        self._changed: list[Any] = []

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Sets the momentum of layers that have Keras' default, for the length of the training."""
        steps = (self.params or {}).get("steps")
        norms = [layer for layer in find_leaves(self.model) if isinstance(layer, keras.layers.BatchNormalization)]
        self._changed = [layer for layer in norms if steps and layer.momentum == DEFAULT_MOMENTUM]
        for layer in self._changed:
            layer.momentum = choose_momentum(int(steps or 1))

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Restores their momentum."""
        for layer in self._changed:
            layer.momentum = DEFAULT_MOMENTUM


def explain_lag(model: keras.Model, steps: int) -> str:
    """Returns what is wrong with batch normalisation if its statistics follow too slowly; empty if they do not.

    Args:
        model: The network.
        steps: Batches of an epoch.
    """
    norms = [
        layer for layer in find_leaves(model) if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    own = [layer for layer in norms if layer.momentum != DEFAULT_MOMENTUM]
    slowest = max(own, key=lambda layer: layer.momentum, default=None)
    if slowest is None or slowest.momentum**steps < LARGE_FRACTION:
        return ""
    return (
        f"the statistics of batch normalisation '{slowest.name}' follow too slowly with momentum {slowest.momentum:g}; "
        "leave Keras' default, which is fitted to the length of an epoch, or set 0.9"
    )


def choose_momentum(steps: int) -> float:
    """Returns the momentum with which one epoch leaves `INITIAL_FRACTION` of the initial statistics; Keras' at most.

    >>> choose_momentum(36), choose_momentum(1000)
    (0.774, 0.99)
    """
    return min(DEFAULT_MOMENTUM, round(float(INITIAL_FRACTION ** (1 / steps)), 3))


class BestWeights(keras.callbacks.Callback):
    """Keeps a network's weights of the best epoch, over all phases of its training.

    Args:
        network: The network, of which the model that is trained may be a part; a search space's own ``fit`` may also
            train a copy of it, whose weights are kept then.
        objective: What is better.
    """

    def __init__(self, network: keras.Model, objective: Objective) -> None:
        super().__init__()
        self._network = network
        self._objective = objective
        self.best = -math.inf  # its merit, as checkpoints have it
        self.loss = math.inf
        self.weights: list[Any] = []

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Keeps the weights if they are the best so far: of equal epochs, that of less loss."""
        score = self._objective.read_value(logs or {})
        if score is None:
            return
        merit, loss = self._objective.merit(score), (logs or {}).get("val_loss", math.inf)
        if (merit, -loss) > (self.best, -self.loss):
            self.best, self.loss, self.weights = merit, loss, self._copy_trained_weights()

    def _copy_trained_weights(self) -> list[Any]:
        """Returns the network's weights, or those of a copy that is trained in its place; none of another network."""
        network, model = self._network, self.model
        if {id(variable) for variable in network.variables} & {id(variable) for variable in model.variables}:
            return list(network.get_weights())
        is_copy = [weight.shape for weight in network.weights] == [weight.shape for weight in model.weights]
        return list(model.get_weights()) if is_copy else []

    def restore(self) -> None:
        """Gives the network its best weights."""
        if self.weights:
            self._network.set_weights(self.weights)


class Reporter(keras.callbacks.Callback):
    """Reports a trial's training to the search, and stops it when the search says so.

    It never raises: Keras would not run the other callbacks' ``on_train_end`` then, which restores the best weights.

    Args:
        trial: The trial.
        metric: The metric to report.
        steps: Batches of one epoch.
        validation_steps: Batch equivalents (in training batches) of one validation.
        deadline: When the trial has to be over, by `time.monotonic`.
        save: Called with the learning curve so far before its last epoch is reported: what it keeps is never behind the
            database.

    Attributes:
        ending: Why the search stopped the training; empty if it did not.
        epochs: Epochs that were trained.
    """

    def __init__(
        self,
        trial: Trial,
        metric: str,
        steps: int,
        validation_steps: float,
        deadline: float = math.inf,
        save: Callable[[Sequence[Epoch]], None] = lambda epochs: None,
    ) -> None:
        super().__init__()
        self.ending: Ending = ""
        self._trial = trial
        self._metric = metric
        self._steps = steps
        self._validation_steps = validation_steps
        self._validation_seconds: float | None = None
        self._deadline = deadline
        self._save = save
        # not counted by Keras' number: there may be several phases, and a space's own `fit` may train twice
        self._curve: list[Epoch] = []
        self.epochs = 0
        self._reported_at = self._last_progress = time.monotonic()
        self._first = -1, 0.0
        self._validation_began = 0.0

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Starts the first epoch's clock."""
        self._reported_at = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Forgets what the last epoch's batches took."""
        self._first = -1, 0.0

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Shows progress; ends training when the remaining time is needed for the validation, or on request."""
        if self.ending:
            self.model.stop_training = True  # a search space's own `fit` may begin to train again
            return
        now = time.monotonic()
        if self._first[0] < 0:
            self._first = batch, now
        if now - self._last_progress > PROGRESS_INTERVAL:
            self._last_progress = now
            steps = (self.params or {}).get("steps") or self._steps  # a space's own `fit` may choose the batch size
            self._trial.report_progress(self.epochs + 1, min(1.0, (batch + 1) / steps))
        if self._trial.is_interrupted:
            self._end("interrupted")
        elif now > self._deadline:
            self._end("too slow")
        elif self._estimate_epoch(batch, now) > self._trial.max_pace:
            self._end("unaffordable")
        elif self._trial.budget.count_seconds_left() <= self._estimate_validation(batch, now):
            self._end("timeout")

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Starts the validation's clock."""
        self._validation_began = time.monotonic()

    def on_test_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Cuts the validation short when its result will not be used."""
        if self.ending in UNUSED:
            self.model.stop_evaluating = True

    def on_test_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Remembers how long a validation takes."""
        self._validation_seconds = time.monotonic() - self._validation_began

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Reports the epoch."""
        if self.ending in UNUSED:
            return
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        if any(math.isnan(metrics.get(name, 0.0)) for name in ("loss", "total_loss", self._metric)):
            self._end("NaN")
            return
        if self._metric not in metrics:
            self.epochs += bool(self._trial.stretches)  # not validated yet
            return  # where a search space's own `fit` never validates, it may return the score in the end
        self.epochs += 1
        rate = metrics.pop("learning_rate", None) or self._read_learning_rate()
        now = time.monotonic()
        self._curve.append(Epoch(self.epochs, metrics, rate, now - self._reported_at))
        self._reported_at = now
        if not self.ending:
            self._save(self._curve)
        if not self._report(self._curve[-1]) and not self.ending:
            self._end("pruned")
        if self._trial.is_interrupted and not self.ending:
            self._end("interrupted")

    def report_solution(self, metrics: Mapping[str, float], seconds: float) -> None:
        """Reports what a solver has done as one epoch; no checkpoint is kept of it."""
        self.epochs += 1
        self._curve.append(Epoch(self.epochs, metrics, None, seconds, is_solved=True))
        self._report(self._curve[-1])
        if self._trial.is_interrupted:
            self.ending = "interrupted"

    def resume(self, curve: Sequence[Epoch]) -> bool:
        """Reports epochs that another process has trained.

        Returns:
            Whether the pruner lets the trial continue.
        """
        self._curve = list(curve)
        self.epochs = self._curve[-1].number
        goes_on = self._trial.recall([(epoch, epoch.metrics[self._metric]) for epoch in curve])
        self.ending = "" if goes_on else "pruned"
        return goes_on

    @property
    def last_metrics(self) -> Mapping[str, float]:
        """Metrics of the last epoch; none if none was reported."""
        return self._curve[-1].metrics if self._curve else {}

    def find_metrics(self, score: float) -> Mapping[str, float]:
        """Returns the metrics of the epoch that had a score, and the least loss with it; none if none had it."""
        found = [epoch.metrics for epoch in self._curve if epoch.metrics[self._metric] == score]
        return min(found, key=lambda metrics: metrics.get("val_loss", math.inf), default={})

    def _report(self, epoch: Epoch) -> bool:
        return self._trial.report(epoch, epoch.metrics[self._metric])

    def _end(self, ending: Ending) -> None:
        self.ending = ending
        self.model.stop_training = True

    def _estimate_epoch(self, batch: int, now: float) -> float:
        """Returns the seconds that the batches of an epoch will take; 0 before that is known."""
        first, ended = self._first
        return self._steps * (now - ended) / (batch - first) if batch - first >= MEASURED_BATCHES else 0.0

    def _estimate_validation(self, batch: int, now: float) -> float:
        if self._validation_seconds is not None:
            return self._validation_seconds
        first, ended = self._first  # takes seconds in which the graph is compiled
        if batch == first:
            return 0.0
        return FORWARD_FRACTION * self._validation_steps * (now - ended) / (batch - first)

    def _read_learning_rate(self) -> float | None:
        rate = getattr(self.model.optimizer, "learning_rate", None)
        return None if rate is None else float(rate)
