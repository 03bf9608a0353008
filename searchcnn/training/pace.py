"""How long an epoch of a network takes, and where its time goes."""

import statistics
import time
from collections.abc import Mapping
from typing import Any

import keras


class Pace(keras.callbacks.Callback):
    """Measures the seconds of an epoch while a network trains, without what is done only once: compiling the graph.

    The first epoch of each fit is left out, or else its first batch where there was no other epoch. The first batch of
    the first validation of each fit counts as much as the others.

    Args:
        steps: Batches of one epoch.
        interval: Epochs until a validation.
    """

    def __init__(self, steps: int, interval: int = 1) -> None:
        super().__init__()
        self._steps = steps
        self._interval = interval
        self._begun = 0
        self._epochs: list[float] = []
        self._batches: list[float] = []
        self._validations: list[float] = []
        self._first_batches: list[float] = []
        self._test_batches: list[tuple[int, float]] = []
        self._is_validated = False
        self._compiling = self._compiled = 0.0
        self._batch = -1
        self._epoch_began = self._batch_ended = self._validation_began = self._fit_began = self._fitted = 0.0

    @property
    def seconds(self) -> float | None:
        """Seconds of an epoch; None before two batches were trained."""
        if self._epochs:
            return statistics.fmean(self._epochs)
        if not self._batches:
            return None
        return self._steps * self._step + self.validation / self._interval

    @property
    def validation(self) -> float:
        """Seconds of a validation; 0 before the first one."""
        return min(self._validations, default=0.0)

    @property
    def spent(self) -> dict[str, float]:
        """Seconds by activity."""
        tracing = sum(max(0.0, first - self._step) for first in self._first_batches) + self._compiled
        validating = sum(self._validations)
        return {"tracing": tracing, "training": self._fitted - tracing - validating, "validating": validating}

    @property
    def _step(self) -> float:
        return statistics.fmean(self._batches) if self._batches else 0.0

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Begins with an epoch that does not count."""
        self._begun = 0
        self._is_validated = False
        self._fit_began = time.monotonic()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Ends the fit."""
        self._fitted += time.monotonic() - self._fit_began

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Ends the epoch before, all that is done between the two included."""
        now = time.monotonic()
        if self._begun > 1:
            self._epochs.append(now - self._epoch_began - self._compiling)
        self._epoch_began, self._batch_ended, self._compiling = now, 0.0, 0.0
        self._begun += 1

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Counts a batch, and those before it that nobody has heard of."""
        now = time.monotonic()
        if self._batch_ended:
            count = batch - self._batch
            self._batches += [(now - self._batch_ended) / count] * count
        elif self._begun == 1:
            self._first_batches.append(now - self._epoch_began)
        self._batch, self._batch_ended = batch, now

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Begins a validation."""
        self._validation_began = time.monotonic()
        self._test_batches = []

    def on_test_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Notes when a batch of a validation has ended."""
        self._test_batches.append((batch, time.monotonic()))

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Ends a validation."""
        compiling = 0.0 if self._is_validated else self._measure_compiling()
        self._validations.append(time.monotonic() - self._validation_began - compiling)
        self._compiling += compiling
        self._compiled += compiling
        self._is_validated = True

    def _measure_compiling(self) -> float:
        """Returns by how much the first batch of a validation took longer than the others."""
        if len(self._test_batches) < 2:
            return 0.0
        (first, ended), *_, (last, now) = self._test_batches
        return max(0.0, ended - self._validation_began - (now - ended) / (last - first))
