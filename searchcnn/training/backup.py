"""Writes checkpoints while a network trains, and brings a training back to where one was written."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from searchcnn.events import Epoch
from searchcnn.training.callbacks import BestWeights
from searchcnn.training.checkpoint import Checkpoint

MAX_WRITING_FRACTION = 0.05
"""Fraction of a training's time that may go into writing checkpoints."""

COUNTERS = {
    "BestWeights": ("best", "loss"),
    "EarlyStopping": ("wait", "best", "best_epoch", "stopped_epoch"),
    "ReduceLROnPlateau": ("wait", "best", "cooldown_counter"),
}
"""Attributes of callbacks that last from epoch to epoch, by class."""


class Backup(keras.callbacks.Callback):
    """Keeps the checkpoint of one trial; as a callback it comes after those whose counters it keeps.

    Args:
        path: The checkpoint's file; None to keep none.
        key: What the checkpoint belongs to.
        network: The network, of which the model that is trained may be a part.
        best: Its weights of the best epoch.
        keeps_ends: Whether there is always one of a phase's end, from which the training goes on later.

    Attributes:
        pending: The checkpoint of another process until its state is restored; None if the training begins.
    """

    def __init__(
        self,
        path: Path | None,
        key: Mapping[str, Any],
        network: keras.Model,
        best: BestWeights,
        keeps_ends: bool = False,
    ) -> None:
        super().__init__()
        self._path = path
        self._key = key
        self._network = network
        self._best = best
        self._keeps_ends = keeps_ends
        self._watched: Sequence[Any] = ()
        self._phase, self._epochs_before = 0, 0
        self._not_before = 0.0
        self.pending = None if path is None else Checkpoint.read(path, key)
        if self.pending is not None and not _fits(self.pending.variables, network.variables):
            self.pending = None

    def begin_phase(self, phase: int, epochs: int, watched: Sequence[Any]) -> int:
        """Begins a phase of the training, or continues it.

        Args:
            phase: Its number, from 0.
            epochs: Number of epochs trained so far.
            watched: Callbacks whose counters are kept.

        Returns:
            Number of epochs that had been trained when the phase began.
        """
        self._phase, self._epochs_before = phase, epochs
        self._watched = [self._best, *watched]
        if self.pending is not None:
            self._epochs_before = self.pending.begun
            _assign(self._network.variables, self.pending.variables)
            self._best.weights = list(self.pending.best)
            for name, value in self.pending.counters.get("BestWeights", {}).items():
                setattr(self._best, name, value)
        return self._epochs_before

    def skip_phase(self) -> None:
        """Ends a phase that another process has ended."""
        self.pending = None
        self._best.restore()

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Restores the state of the optimizer and the callbacks, which other callbacks have just reset."""
        if self.pending is None:
            return
        self.model.optimizer.build(self.model.trainable_variables)
        _assign(self.model.optimizer.variables, self.pending.optimizer)
        for callback in self._watched:
            vars(callback).update(self.pending.counters.get(type(callback).__name__, {}))
        self.pending = None

    def save(self, epochs: Sequence[Epoch]) -> None:
        """Writes a checkpoint, unless that would take more than its share of the time.

        Args:
            epochs: The learning curve so far.
        """
        start = time.monotonic()
        planned = self._epochs_before + (self.params or {}).get("epochs", 0)
        is_end = self.model.stop_training or epochs[-1].number == planned
        if self._path is None or (start < self._not_before and not (is_end and self._keeps_ends)):
            return
        watched = {type(callback).__name__: callback for callback in self._watched}
        counters = {name: _read_counters(callback) for name, callback in watched.items() if name in COUNTERS}
        checkpoint = Checkpoint(
            phase=self._phase,
            begun=self._epochs_before,
            is_over=self.model.stop_training,
            epochs=epochs,
            counters=counters,
            variables=_copy_arrays(self._network.variables),
            optimizer=_copy_arrays(self.model.optimizer.variables),
            best=self._best.weights,
        )
        with contextlib.suppress(OSError):  # a full disk, say: an interrupted trial then resumes from an earlier epoch
            checkpoint.write(self._path, self._key)
        end = time.monotonic()
        self._not_before = end + (end - start) / MAX_WRITING_FRACTION


def _read_counters(callback: Any) -> dict[str, Any]:
    values = {name: getattr(callback, name) for name in COUNTERS[type(callback).__name__]}
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}


def _copy_arrays(variables: Sequence[Any]) -> list[Any]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _assign(variables: Sequence[Any], arrays: Sequence[Any]) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _fits(arrays: Sequence[Any], variables: Sequence[Any]) -> bool:
    return [array.shape for array in arrays] == [tuple(variable.shape) for variable in variables]
