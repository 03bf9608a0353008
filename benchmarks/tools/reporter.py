"""What ends the searches that run on Keras Tuner, and keeps their best model."""

from collections.abc import Callable
from typing import Any

import keras
import keras_tuner
from common import MODEL, Record, is_over


class Reporter(keras.callbacks.Callback):
    """Keeps the best model, and ends the search when its time is over.

    Args:
        record: Where improvements are noted.
        convert: Returns the model that is saved.
    """

    def __init__(self, record: Record, convert: Callable[[keras.Model], keras.Model] = lambda model: model) -> None:
        super().__init__()
        self._record = record
        self._convert = convert

    def __deepcopy__(self, memo: Any) -> "Reporter":
        return Reporter(self._record, self._convert)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.model.stop_training |= is_over()

    def on_epoch_end(self, _epoch: int, logs: dict[str, float] | None = None) -> None:
        if self._record.note((logs or {})["val_accuracy"]):
            self._convert(self.model).save(MODEL)
        if is_over():
            raise keras_tuner.errors.FatalError("out of time")
