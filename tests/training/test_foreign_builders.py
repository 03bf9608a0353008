"""What builders bring along that were written for other tools: scaling, augmentation, precision, metrics, momentum."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.data import Dataset
from searchcnn.errors import StudyFileError
from searchcnn.events import Event, Note
from searchcnn.search import Evaluation, Trial
from searchcnn.spaces import load_space
from searchcnn.study import StudyConfig, Workspace
from searchcnn.study.rules import Rules

start_keras()

import keras  # noqa: E402

from searchcnn.results.export import predict  # noqa: E402
from searchcnn.training import Trainer, make_classifier, run_dry  # noqa: E402
from searchcnn.training.callbacks import BatchStatistics, choose_momentum  # noqa: E402

Config = Callable[..., StudyConfig]
Begin = Callable[..., Trial]
MakeSpace = Callable[..., Any]
layers = keras.layers


def make_builder(*first: Any, **compiled: Any) -> Callable[[Any], Any]:
    """Returns a builder of a convolution after layers, each created by a function."""

    def build(hp: Any) -> Any:
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                *(make() for make in first),
                layers.Conv2D(8, 3, activation="relu"),
                layers.Flatten(),
                layers.Dense(10, activation="softmax"),
            ]
        )
        if compiled:
            model.compile(**{"optimizer": "adam", **compiled})
        return model

    return build


class Notes:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def hear(self, event: Event) -> None:
        self.heard += [event.text] if isinstance(event, Note) else []


RESCALED = make_builder(lambda: layers.Rescaling(1 / 255))


def evaluate(config: StudyConfig, begin: Begin, few: Dataset, space: Any, **options: Any) -> tuple[Trial, Evaluation]:
    trial = begin(config)
    return trial, Trainer(config, few, {"net": space}, **options)(trial)


def test_a_network_that_scales_gets_what_it_was_made_for(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace
) -> None:
    config = study_config(training={"epochs": 3, "normalization": ["standardize", "zca"]})
    plain, (trial, scaling) = (
        evaluate(study_config(training={"epochs": 3}), begin, few, make_space(make_builder()))[1],
        evaluate(config, begin, few, make_space(RESCALED)),
    )
    assert scaling.value == plain.value > 0.6
    assert "training/normalization" not in trial.facts["hyperparameters"]
    assert scaling.recipe["normalization"] == "none"
    assert predict(scaling.network, few.validation.images).argmax(-1).tolist() == (
        predict(plain.network, few.validation.images).argmax(-1).tolist()
    )


@pytest.mark.slow
def test_a_network_that_scales_as_one_of_its_hyperparameters(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace
) -> None:
    def build(hp: Any) -> Any:
        return (RESCALED if hp.Boolean("rescaling") else make_builder())(hp)

    config = study_config(training={"epochs": 3})
    values = []
    for rescaling in (False, True):
        trial = begin(config)
        trial.preset = {"rescaling": rescaling}
        values.append(Trainer(config, few, {"net": make_space(build)})(trial).value)
    assert values[0] == values[1]


@pytest.mark.parametrize(
    ("training", "options"),
    [({"detect_scaling": False}, {}), ({}, {"rules": Rules(1)})],
    ids=["not wanted", "older study"],
)
def test_scaling_is_not_looked_for(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace, training: Any, options: Any
) -> None:
    _, evaluation = evaluate(study_config(training=training), begin, few, make_space(RESCALED), **options)
    assert evaluation.recipe["normalization"] == "scale"


def test_pixels_may_be_left_as_they_are(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace
) -> None:
    config = study_config(training={"normalization": "none"})
    seen = []

    def fit(hp: Any, model: Any, x: Any, y: Any, **options: Any) -> Any:
        seen.append(float(x.max()))
        return model.fit(x, y, **options)

    space = make_space(make_builder())
    space.hypermodel.fit = fit
    evaluate(config, begin, few, space)
    assert seen == [255.0]


def build_augmented(hp: Any) -> Any:
    images = keras.Input((8, 8, 1))
    augment = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.5)])
    pipeline = layers.Pipeline([layers.RandomBrightness(0.9, value_range=(0, 1))])
    x = layers.RandomContrast(0.9)(pipeline(augment(images)))
    prepare = keras.Sequential([layers.Resizing(9, 9), layers.RandomTranslation(0.5, 0.5)])
    x = layers.GaussianNoise(0.5)(layers.Dropout(0.5)(prepare(x)))
    x = layers.Pipeline([layers.RandomFlip(), layers.CenterCrop(7, 7)])(x)
    return keras.Model(images, layers.Dense(10, activation="softmax")(layers.Flatten()(x)))


def test_random_layers_are_not_in_what_is_saved(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace, tmp_path: Path
) -> None:
    _, evaluation = evaluate(study_config(), begin, few, make_space(build_augmented))
    evaluation.network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = few.validation.images[:8]
    results = [np.asarray(loaded(images)) for _ in range(3)] + [loaded.predict(images, verbose=0)]
    for result in results:
        np.testing.assert_allclose(result, predict(evaluation.network, images), atol=1e-5)
    kinds = {type(layer).__name__ for layer in loaded._flatten_layers()}
    assert not {kind for kind in kinds if kind.startswith("Random")} - {"RandomFlip"}
    assert {"Resizing", "Dropout", "GaussianNoise", "Pipeline"} <= kinds, "images are smaller behind the last"


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.RandomFlip(),
        lambda: layers.RandomZoom(0.3),
        lambda: layers.RandomErasing(1.0, value_range=(0, 1)),
        lambda: layers.RandomInvert(1.0, value_range=(0, 1)),
        lambda: layers.Pipeline([layers.RandomShear(0.5, 0.5), layers.RandomTranslation(0.3, 0.3)]),
        lambda: keras.Sequential([keras.Sequential([layers.RandomRotation(0.3)])]),
    ],
)
def test_what_is_left_out_of_a_saved_network(make: Any) -> None:
    model = make_builder(make)(None)
    bare = make_classifier(model, (8, 8, 1)).layers[-1]
    assert [type(layer).__name__ for layer in bare.layers] == ["InputLayer", "Conv2D", "Flatten", "Dense"]
    assert bare.layers[1] is model.layers[-3]


def test_a_network_without_random_layers_is_saved_as_it_is() -> None:
    model = make_builder(lambda: layers.Dropout(0.5))(None)
    assert [type(layer).__name__ for layer in make_classifier(model, (8, 8, 1)).layers[-1].layers] == [
        *("InputLayer", "Dropout", "Conv2D", "Flatten", "Dense"),
    ]


HALF = """
import keras
from keras import layers

keras.mixed_precision.set_global_policy("mixed_float16")
assert keras.config.dtype_policy().name == "mixed_float16"


def half(hp, num_classes, input_shape):
    images = keras.Input(input_shape)
    x = layers.Flatten()(images)
    return keras.Model(images, layers.Dense(num_classes, activation="softmax")(x))
"""


@pytest.mark.slow
def test_a_dtype_policy_is_that_of_its_file(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace, tmp_path: Path
) -> None:
    (tmp_path / "nets.py").write_text(HALF)
    policies = []

    def full(hp: Any) -> Any:
        policies.append(keras.config.dtype_policy().name)
        return make_builder()(hp)

    half = load_space("nets.py:half", Workspace(tmp_path)).create((8, 8, 1), 10)
    assert keras.config.dtype_policy().name == "float32"
    config = study_config()
    trainer = Trainer(config, few, {"half": half, "full": make_space(full)})
    run_dry(trainer, "half")
    for name in ("half", "full", "half"):
        trial = begin(config)
        trial.preset = {"space": name}
        network = trainer(trial).network
        computed = network.layers[-1].layers[-1].compute_dtype
        assert computed == ("float16" if name == "half" else "float32")
        assert keras.config.dtype_policy().name == "float32"
    assert policies == ["float32"]


def test_a_global_dtype_policy_stays(study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        _, evaluation = evaluate(study_config(), begin, few, make_space(make_builder()))
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert evaluation.network.layers[-1].layers[-1].compute_dtype == "bfloat16"


def list_momenta(model: Any) -> list[float]:
    return [layer.momentum for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]


def test_the_momentum_of_batch_normalisation_follows_the_steps() -> None:
    images = keras.Input((8, 8, 1))
    inner = keras.Sequential([layers.BatchNormalization(), layers.BatchNormalization(momentum=0.8)])
    model = keras.Model(images, layers.Flatten()(layers.BatchNormalization()(inner(images))))
    model.compile("sgd", "mse")
    used: list[float] = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: used.extend(list_momenta(model)))
    model.fit(np.zeros((12, 8, 8, 1)), np.zeros((12, 64)), 2, callbacks=[BatchStatistics(), note], verbose=0)
    assert sorted(list_momenta(model)) == [0.8, 0.99, 0.99]
    assert sorted(used) == sorted([choose_momentum(6), 0.8, choose_momentum(6)])
    assert choose_momentum(6) ** 6 == pytest.approx(1e-4, rel=0.05)
    assert choose_momentum(1000) == 0.99


def make_normalised(**options: Any) -> Callable[[Any], Any]:
    def build(hp: Any) -> Any:
        images = x = keras.Input((8, 8, 1))
        for _ in range(8):
            x = layers.Conv2D(16, 3, padding="same")(x)
            x = layers.ReLU()(layers.BatchNormalization(**options)(x))
        return keras.Model(images, layers.Dense(10, activation="softmax")(layers.Flatten()(x)))

    return build


@pytest.mark.slow
def test_batch_normalisation_keeps_up_with_short_epochs(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace
) -> None:
    def train(version: int = 2, **options: Any) -> tuple[float, list[str]]:
        config, notes = study_config(training={"epochs": 2}), Notes()
        trainer = Trainer(config, few, {"net": make_space(make_normalised(**options))}, rules=Rules(version))
        return trainer(begin(config, hear=notes.hear)).value, notes.heard

    (stock, heard), (before, _), (slow, told) = train(), train(version=1), train(momentum=0.999)
    assert stock > 0.85
    assert heard == []
    assert max(before, slow) < stock - 0.1
    (line,) = told
    assert "in training, " in line
    assert "follow too slowly with momentum 0.999; leave Keras' default" in line


@pytest.mark.slow
def test_a_space_that_learns_by_heart_is_told_so_once(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace
) -> None:
    samples = few.train.take(np.arange(20))
    config = study_config(training={"epochs": 15, "patience": 15, "batch_size": 20, "learning_rate": 0.02})
    notes = Notes()
    trainer = Trainer(config, replace(few, train=samples), {"net": make_space()})
    for _ in range(2):
        trainer(begin(config, hear=notes.hear))
    (line,) = notes.heard
    assert "memorised" in line


def test_metrics_of_each_class_are_averaged(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace
) -> None:
    compiled = {"loss": "categorical_crossentropy", "metrics": ["accuracy", keras.metrics.F1Score()]}
    build = make_builder(**compiled)
    trial, _ = evaluate(study_config(), begin, few, make_space(build))
    (epoch,) = trial._study.read_curve(0)
    assert 0 < epoch.metrics["val_f1_score"] < 1
    config = study_config(search={"objective": "val_f1_score"})
    with pytest.raises(StudyFileError, match=r"'val_f1_score' has a value for each class; give .*average='macro'"):
        run_dry(Trainer(config, few, {"net": make_space(build)}), "net")


@pytest.mark.parametrize(
    "form",
    ["own loss", pytest.param("mapping", marks=pytest.mark.slow), pytest.param("two heads", marks=pytest.mark.slow)],
)
def test_losses_of_all_kinds_are_trained(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace, form: str
) -> None:
    def own(labels: Any, outputs: Any) -> Any:
        return keras.losses.sparse_categorical_crossentropy(labels, outputs)

    def build(hp: Any) -> Any:
        images = keras.Input((8, 8, 1))
        x = layers.Flatten()(images)
        heads = {name: layers.Dense(10, activation="softmax", name=name)(x) for name in ("digit", "aside")}
        model = keras.Model(images, {"own loss": heads["digit"]}.get(form, heads))
        if form == "own loss":
            model.compile(keras.optimizers.Adam(0.01), own, metrics=["accuracy"])
        elif form == "mapping":
            losses = {"digit": own, "aside": "categorical_crossentropy"}
            model.compile(keras.optimizers.Adam(0.01), losses, metrics={"digit": ["accuracy"]})
        return model  # two heads: compiled with the recipe

    config = study_config(training={"epochs": 5})
    run_dry(Trainer(config, few, {"net": make_space(build)}), "net")
    _, evaluation = evaluate(config, begin, few, make_space(build))
    assert evaluation.value > 0.6
    assert evaluation.network.output_shape == (None, 10)
    correct = predict(evaluation.network, few.validation.images).argmax(-1) == few.validation.labels
    assert correct.mean() == pytest.approx(evaluation.value)
