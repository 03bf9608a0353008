"""A search as Keras Tuner's tutorials write it: Hyperband, early stopping."""

import contextlib
import sys
import types

import keras
from common import BATCH, EPOCHS, FOLDER, SEED, Record, build, read_part

sys.modules.setdefault("tensorboard", types.ModuleType("tensorboard"))  # Keras Tuner imports it without requiring it

import keras_tuner  # noqa: E402
from reporter import Reporter  # noqa: E402


def main() -> None:
    keras.utils.set_random_seed(SEED)
    record = Record()
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
    callbacks = [Reporter(record), keras.callbacks.EarlyStopping("val_accuracy", patience=2, mode="max")]
    with contextlib.suppress(keras_tuner.errors.FatalError):
        tuner.search(*train, validation_data=validation, batch_size=BATCH, verbose=0, callbacks=callbacks)
    record.write(trials=len(tuner.oracle.trials))


if __name__ == "__main__":
    main()
