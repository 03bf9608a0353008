"""What happens at each batch and epoch: progress, the learning curve, pruning, the deadline, the user's stop."""

import math
import time
from collections.abc import Mapping
from typing import Literal

import keras

from searchcnn.search import Trial
from searchcnn.store import Epoch

Ending = Literal["", "pruned", "timeout", "interrupted", "NaN"]

PROGRESS_INTERVAL = 0.1
"""Seconds between two progress reports."""

FORWARD_PART = 1 / 3
"""Part of a training step that a forward pass takes: two more passes compute gradients."""


class Reporter(keras.callbacks.Callback):
    """Reports a trial's training to the search, and stops it when the search says so.

    It never raises: Keras would not run the other callbacks' ``on_train_end`` then, which restores the best weights.

    Args:
        trial: The trial.
        objective: The metric to report.
        steps: Batches of one epoch.
        validation_steps: Batch equivalents (in training batches) of one validation.

    Attributes:
        ending: Why the search stopped the training; empty if it did not.
    """

    def __init__(self, trial: Trial, objective: str, steps: int, validation_steps: float) -> None:
        super().__init__()
        self.ending: Ending = ""
        self._trial = trial
        self._objective = objective
        self._steps = steps
        self._validation_steps = validation_steps
        self._validation_seconds: float | None = None
        self._epochs = 0  # not Keras' number: a search space's own `fit` may train twice
        self._began = self._shown = time.monotonic()
        self._first = -1, 0.0
        self._validation_began = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Starts the epoch's clock."""
        self._began = time.monotonic()
        self._first = -1, 0.0

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Shows progress; ends training when the time that is left is needed for the validation, or on request."""
        if self.ending:
            self.model.stop_training = True  # a search space's own `fit` may begin to train once more
            return
        now = time.monotonic()
        if self._first[0] < 0:
            self._first = batch, now
        if now - self._shown > PROGRESS_INTERVAL:
            self._shown = now
            self._trial.progress(self._epochs + 1, (batch + 1) / self._steps)
        if self._trial.is_interrupted:
            self._end("interrupted")
        elif self._trial.budget.seconds_left() <= self._expected_validation(batch, now):
            self._end("timeout")

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Starts the validation's clock."""
        self._validation_began = time.monotonic()

    def on_test_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Cuts the validation short when its result will not be used."""
        if self.ending == "interrupted":
            self.model.stop_evaluating = True

    def on_test_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Keeps how long a validation takes."""
        self._validation_seconds = time.monotonic() - self._validation_began

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Reports the epoch."""
        if self.ending == "interrupted":
            return
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        if self._objective not in metrics:
            return  # a search space's own `fit` without validation; it may return the objective in the end
        if math.isnan(metrics.get("loss", 0.0)) or math.isnan(metrics[self._objective]):
            self._end("NaN")
            return
        self._epochs += 1
        row = Epoch(self._epochs, metrics, self._learning_rate(), time.monotonic() - self._began)
        if not self._trial.report(row, metrics[self._objective]) and not self.ending:
            self._end("pruned")
        if self._trial.is_interrupted and not self.ending:
            self._end("interrupted")

    def _end(self, ending: Ending) -> None:
        self.ending = ending
        self.model.stop_training = True

    def _expected_validation(self, batch: int, now: float) -> float:
        if self._validation_seconds is not None:
            return self._validation_seconds
        first, ended = self._first  # takes seconds in which the graph is compiled
        if batch == first:
            return 0.0
        return FORWARD_PART * self._validation_steps * (now - ended) / (batch - first)

    def _learning_rate(self) -> float | None:
        rate = getattr(self.model.optimizer, "learning_rate", None)
        return None if rate is None else float(rate)
