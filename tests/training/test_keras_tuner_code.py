"""Code that was written for Keras Tuner runs as it is: its own networks, and the builders of its guides."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from searchcnn.backend import start_keras
from searchcnn.data import Dataset
from searchcnn.optimization import Study, optimize
from searchcnn.search import Trial
from searchcnn.spaces import load_space
from searchcnn.store import read_summary
from searchcnn.study import StudyConfig, Workspace, validate

start_keras()

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402

from searchcnn.search.hyperparameters import CheckedHyperParameters  # noqa: E402
from searchcnn.training import Trainer  # noqa: E402
from searchcnn.training.cost import cost  # noqa: E402
from searchcnn.training.network import build  # noqa: E402

Config = Callable[..., StudyConfig]
Begin = Callable[..., Trial]
MakeSpace = Callable[..., Any]


@pytest.mark.slow
def test_hyper_xception_is_searched(tmp_path: Path) -> None:
    config = validate(
        {
            "spaces": ["keras_tuner.applications:HyperXception"],
            "data": {"name": "digits", "validation": 1300},
            "budget": {"trials": 1},
            "training": {"epochs": 1},
        },
        "test",
    )
    study = Study("xception", config, Workspace(tmp_path))
    optimize(study)
    (trial,) = [one for one in read_summary(study.url, study.name).trials if one.state == "COMPLETE"]
    assert trial.facts["hyperparameters"]["num_residual_blocks"] == 4
    assert study.workspace.best_model("xception").exists()


@pytest.mark.slow
def test_hyper_resnet_is_built_counted_and_trained_a_step(tmp_path: Path) -> None:
    """A whole search would take a minute: its smallest network is ResNet50V2."""
    space = load_space("keras_tuner.applications:HyperResNet", Workspace(tmp_path)).create((32, 32, 3), 10)
    model = build(space, CheckedHyperParameters(), (32, 32, 3), 10)
    assert cost(model).params == model.count_params() == 23_585_290
    labels = keras.utils.to_categorical(np.arange(2), 10)
    loss = model.train_on_batch(np.ones((2, 32, 32, 3), "float32"), labels, return_dict=True)["loss"]
    assert np.isfinite(loss)


def getting_started(hp: Any) -> Any:
    """The last builder of https://keras.io/guides/keras_tuner/getting_started/."""
    model = keras.Sequential()
    model.add(layers.Flatten())
    for i in range(hp.Int("num_layers", 1, 3)):
        model.add(
            layers.Dense(
                units=hp.Int(f"units_{i}", min_value=32, max_value=512, step=32),
                activation=hp.Choice("activation", ["relu", "tanh"]),
            )
        )
    if hp.Boolean("dropout"):
        model.add(layers.Dropout(rate=0.25))
    model.add(layers.Dense(10, activation="softmax"))
    learning_rate = hp.Float("lr", min_value=1e-4, max_value=1e-2, sampling="log")
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def model_selection(hp: Any) -> Any:
    """The builder of the docstring of ``HyperParameters.conditional_scope``."""
    model = keras.Sequential()
    model.add(keras.Input(shape=(8, 8, 1)))
    model_type = hp.Choice("model_type", ["mlp", "cnn"])
    with hp.conditional_scope("model_type", ["mlp"]):
        if model_type == "mlp":
            model.add(layers.Flatten())
            model.add(layers.Dense(hp.Int("units", 16, 64, step=16), activation="relu"))
    with hp.conditional_scope("model_type", ["cnn"]):
        if model_type == "cnn":
            model.add(layers.Conv2D(hp.Int("filters", 8, 32, step=8), 3, activation="relu"))
            model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(10, activation="softmax"))
    return model


def tailored(hp: Any) -> Any:
    """The builder of https://keras.io/guides/keras_tuner/tailor_the_search_space/, its learning rate fixed."""
    model = keras.Sequential()
    model.add(layers.Flatten())
    model.add(layers.Dense(units=hp.Int("units", 32, 128, 32), activation="relu"))
    if hp.Boolean("dropout"):
        model.add(layers.Dropout(rate=0.25))
    model.add(layers.Dense(units=10, activation="softmax"))
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=hp.Fixed("learning_rate", value=1e-4)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


@pytest.mark.parametrize(
    ("builder", "preset", "asked"),
    [
        (
            getting_started,
            {"num_layers": 2, "units_0": 32, "activation": "tanh", "units_1": 64, "dropout": True, "lr": 1e-3},
            {"num_layers", "units_0", "activation", "units_1", "dropout", "lr"},
        ),
        (model_selection, {"model_type": "mlp"}, {"model_type", "units"}),
        (model_selection, {"model_type": "cnn"}, {"model_type", "filters"}),
        (tailored, {"units": 32, "dropout": False}, {"units", "dropout", "learning_rate"}),
    ],
    ids=["getting_started", "mlp", "cnn", "tailored"],
)
def test_the_builders_of_the_guides_are_trained(
    study_config: Config,
    begin: Begin,
    few: Dataset,
    make_space: MakeSpace,
    builder: Callable[[Any], Any],
    preset: dict[str, Any],
    asked: set[str],
) -> None:
    config = study_config()
    trial = begin(config)
    trial.preset = preset
    evaluation = Trainer(config, few, {"net": make_space(builder)})(trial)
    assert 0 <= evaluation.value <= 1
    values = trial.facts["hyperparameters"]
    assert set(values) == asked
    assert values.items() >= preset.items()
