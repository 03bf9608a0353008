"""A search as Keras Tuner's tutorials write it: Hyperband, early stopping."""

import contextlib
import sys
import types
from typing import Any

import keras
from common import BATCH, EPOCHS, FOLDER, MODEL, SEED, Record, build, is_over, read_part

sys.modules.setdefault("tensorboard", types.ModuleType("tensorboard"))  # Keras Tuner imports it without requiring it

import keras_tuner  # noqa: E402

RECORD = Record()


class Reporter(keras.callbacks.Callback):
    """Keeps the best model, and ends the search when its time is over."""

    def __deepcopy__(self, memo: Any) -> "Reporter":
        return Reporter()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.model.stop_training |= is_over()

    def on_epoch_end(self, _epoch: int, logs: dict[str, float] | None = None) -> None:
        if RECORD.note((logs or {})["val_accuracy"]):
            self.model.save(MODEL)
        if is_over():
            raise keras_tuner.errors.FatalError("out of time")


def main() -> None:
    keras.utils.set_random_seed(SEED)
    train, validation = read_part("train"), read_part("validation")
    shape, classes = train[0].shape[1:], int(train[1].max()) + 1
    tuner = keras_tuner.Hyperband(
        lambda hp: build(hp, shape, classes),
        objective="val_accuracy",
        max_epochs=EPOCHS,
        hyperband_iterations=100,
        seed=SEED,
        directory=str(FOLDER),
        project_name="tuner",
    )
    tuner._configure_tensorboard_dir = lambda *_args, **_kw: None
    callbacks = [Reporter(), keras.callbacks.EarlyStopping("val_accuracy", patience=2, mode="max")]
    with contextlib.suppress(keras_tuner.errors.FatalError):
        tuner.search(*train, validation_data=validation, batch_size=BATCH, verbose=0, callbacks=callbacks)
    RECORD.write(trials=len(tuner.oracle.trials))


if __name__ == "__main__":
    main()
