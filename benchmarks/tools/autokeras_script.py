"""AutoKeras as its first page has it: an image classifier, with the settings that it comes with."""

import contextlib
from typing import Any

import autokeras
import keras
import keras_tuner
import numpy as np
import tree
from autokeras.utils import data_utils
from common import FOLDER, SEED, Record, read_part
from reporter import Reporter


def make_portable(model: keras.Model) -> keras.Model:
    """Returns a model of Keras' own layers, which loads where AutoKeras is not installed."""
    portable = keras.models.clone_model(model, clone_function=_clone)
    portable.set_weights(model.get_weights())
    return portable


def _clone(layer: keras.layers.Layer) -> keras.layers.Layer:
    if isinstance(layer, autokeras.keras_layers.CastToFloat32):
        return keras.layers.Rescaling(1.0, name=layer.name)
    return layer.__class__.from_config(layer.get_config())


def find_shapes(arrays: Any) -> Any:
    """Returns the shapes of arrays, in integers that Keras takes: AutoKeras 3.0 fails with Keras 3.15 without."""
    return tree.map_structure(lambda array: np.array(array.shape, dtype=object), arrays)


def main() -> None:
    keras.utils.set_random_seed(SEED)
    record = Record()
    data_utils.dataset_shape = find_shapes
    classifier = autokeras.ImageClassifier(
        objective=keras_tuner.Objective("val_accuracy", "max"),
        max_trials=1000,
        seed=SEED,
        directory=FOLDER,
        distribution_strategy=None,
    )
    classifier.tuner._configure_tensorboard_dir = lambda *_args, **_kw: None
    reporter = Reporter(record, make_portable)
    with contextlib.suppress(keras_tuner.errors.FatalError):
        classifier.fit(*read_part("train"), validation_data=read_part("validation"), verbose=0, callbacks=[reporter])
    record.write(trials=len(classifier.tuner.oracle.trials))


if __name__ == "__main__":
    main()
