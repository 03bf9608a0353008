"""Has a learning-rate schedule end when the time does."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras

from searchcnn.training.pace import Pace

RESERVE = 0.1
"""Epochs for which there is time left when a schedule ends: the last one may be slower once more."""


class TimedSchedule(keras.callbacks.Callback):
    """Moves a schedule on where its epochs take longer than was planned, so that it ends when the time does.

    Between two epochs the schedule, which counts the optimizer's steps, skips as many as the time will be too short
    for, shared out evenly among the epochs left. Where its end is reached the training ends. It must come before
    `ValidateCut`.

    Args:
        steps: Batches of one epoch.
        pace: Measures the seconds of an epoch.
        count_seconds_left: Returns the seconds until the training must be over.

    Attributes:
        left: Steps that were left of the schedule when the epoch began.
    """

    def __init__(self, steps: int, pace: Pace, count_seconds_left: Callable[[], float]) -> None:
        super().__init__()
        self._steps = steps
        self._pace = pace
        self._count_seconds_left = count_seconds_left
        self.left = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Skips steps, if the time is too short for those that are left."""
        iterations = self.model.optimizer.iterations
        self.left = self._steps * (self.params or {})["epochs"] - int(iterations)
        epochs = self.left / self._steps
        possible = self._count_possible_epochs()
        if possible < epochs:
            skipped = min(self.left - 1, math.ceil(self._steps * (epochs - possible) / max(1.0, possible)))
            iterations.assign(int(iterations) + skipped)
            self.left -= skipped

    def _count_possible_epochs(self) -> float:
        """Returns how many epochs the time is enough for; infinity before it is known how long one takes."""
        pace, left = self._pace.seconds, self._count_seconds_left() - self._pace.validation
        return max(0.0, left / pace - RESERVE) if pace else math.inf

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Ends the training with the schedule."""
        if batch + 1 >= self.left:
            self.model.stop_training = True
