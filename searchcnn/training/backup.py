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
"""Part of a training's time that may go into writing checkpoints."""

COUNTERS = {
    "BestWeights": ("best",),
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

    Attributes:
        left: The checkpoint that another process left; None if the training begins.
    """

    def __init__(self, path: Path | None, key: Mapping[str, Any], network: Any, best: BestWeights) -> None:
        super().__init__()
        self._path = path
        self._key = key
        self._network = network
        self._best = best
        self._watched: Sequence[Any] = ()
        self._phase, self._begun = 0, 0
        self._not_before = 0.0
        self.left = None if path is None else Checkpoint.read(path, key)
        if self.left is not None and not _fits(self.left.variables, network.variables):
            self.left = None

    def begin_phase(self, phase: int, epochs: int, watched: Sequence[Any]) -> int:
        """Begins a phase of the training, or goes on with it.

        Args:
            phase: Its number, from 0.
            epochs: How many have been trained.
            watched: Callbacks whose counters are kept.

        Returns:
            How many epochs had been trained when the phase began.
        """
        self._phase, self._begun, self._watched = phase, epochs, [self._best, *watched]
        if self.left is not None:
            self._begun = self.left.begun
            _assign(self._network.variables, self.left.variables)
            self._best.weights = list(self.left.best)
        return self._begun

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Gives the optimizer and the callbacks the state that they had; others have set theirs to the beginning."""
        if self.left is None:
            return
        self.model.optimizer.build(self.model.trainable_variables)
        _assign(self.model.optimizer.variables, self.left.optimizer)
        for callback in self._watched:
            vars(callback).update(self.left.counters.get(type(callback).__name__, {}))
        self.left = None

    def save(self, epochs: Sequence[Epoch]) -> None:
        """Writes a checkpoint, unless that would take more than its part of the time.

        Args:
            epochs: The learning curve so far.
        """
        began = time.monotonic()
        if self._path is None or began < self._not_before:
            return
        counters = {type(one).__name__: _read_counters(one) for one in self._watched if type(one).__name__ in COUNTERS}
        variables, optimizer = map(_copy_arrays, (self._network.variables, self.model.optimizer.variables))
        is_over, best = self.model.stop_training, self._best.weights
        checkpoint = Checkpoint(self._phase, self._begun, is_over, epochs, counters, variables, optimizer, best)
        with contextlib.suppress(OSError):  # a full disk, say: an interrupted trial then goes on from an earlier epoch
            checkpoint.write(self._path, self._key)
        ended = time.monotonic()
        self._not_before = ended + (ended - began) / MAX_WRITING_FRACTION


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
