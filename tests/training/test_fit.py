"""Training of search spaces that say how: auxiliary heads, phases, pretrained weights."""

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.augmentation import Augmentation
from searchcnn.backend import start_keras
from searchcnn.data import Dataset
from searchcnn.errors import InfeasibleError, PluginError
from searchcnn.events import Epoch, EpochFinished, Event
from searchcnn.results import save_model
from searchcnn.search import Budget, InterruptedTrialError, Trial, TrialPrunedError
from searchcnn.spaces import Phase, SearchSpace
from searchcnn.study import StudyConfig
from searchcnn.training.normalization import Normalization
from searchcnn.training.pipeline import make_arrays

start_keras()

import keras  # noqa: E402
import keras_tuner  # noqa: E402

from searchcnn.training import Recipe, Trainer, run_dry  # noqa: E402
from searchcnn.training.callbacks import PlainMetrics  # noqa: E402
from searchcnn.training.fit import Stretch, choose_validation_batch, fit_phase, weigh_classes  # noqa: E402

Config = Callable[..., StudyConfig]
Begin = Callable[..., Trial]
layers = keras.layers
NO_CACHE = {"feature_cache": 0}


def read_curve(trial: Trial) -> list[Epoch]:
    return trial._study.read_curve(trial.number)


def read_metrics(trial: Trial, name: str = "val_accuracy") -> list[float]:
    return [epoch.metrics[name] for epoch in read_curve(trial)]


def measure(network: Any, data: Dataset) -> tuple[float, float]:
    """Returns a classifier's accuracy and cross entropy on the validation images, without Keras' metrics."""
    labels = data.validation.labels
    outputs = network.predict(data.validation.images, verbose=0)
    return float((outputs.argmax(-1) == labels).mean()), float(-np.log(outputs[np.arange(len(labels)), labels]).mean())


# Auxiliary heads


class Heads(SearchSpace):
    """A dense network with auxiliary heads, the first of which learns with the weight that was asked for."""

    def __init__(self, heads: int = 1, name: str = "main", asks: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.first = name
        self.asks = asks

    def build(self, hp: Any) -> Any:
        images = keras.Input(self.input_shape)
        x = layers.Flatten()(images)
        side = [layers.Dense(10, activation="softmax", name=f"{self.first}_{n}")(x) for n in range(self.heads)]
        x = layers.Dense(hp.Int("units", 8, 64, default=32), activation="relu")(x)
        return keras.Model(images, [layers.Dense(10, activation="softmax", name=self.first)(x), *side])

    def auxiliary_weight(self, hp: Any) -> float:
        return float(hp.Float("weight", 0.1, 1.0, default=0.5)) if self.asks else super().auxiliary_weight(hp)


class Plain(SearchSpace):
    def build(self, hp: Any) -> Any:
        images = keras.Input(self.input_shape)
        return keras.Model(images, layers.Dense(10, activation="softmax")(layers.Flatten()(images)))


def make_trainer(config: StudyConfig, data: Dataset, **spaces: Any) -> Trainer:
    for space in spaces.values():
        space.input_shape, space.num_classes = data.input_shape, data.num_classes
    return Trainer(config, data, spaces)


@pytest.mark.parametrize(
    ("heads", "smoothing", "objective"),
    [
        (1, 0.0, "val_loss"),
        (2, 0.1, "val_accuracy"),
        pytest.param(1, 0.0, "val_accuracy", marks=pytest.mark.slow),
    ],
)
def test_the_objective_is_of_the_first_output(
    study_config: Config, begin: Begin, few: Dataset, tmp_path: Path, heads: int, smoothing: float, objective: str
) -> None:
    config = study_config(training={"epochs": 2, "label_smoothing": smoothing}, search={"objective": objective})
    trial = begin(config)
    trial.preset = {"units": 16, "weight": 0.5}
    evaluation = make_trainer(config, few, net=Heads(heads))(trial)
    assert trial.facts["params"] == 65 * 16 + 17 * 10
    assert trial.facts["macs"] == 64 * 16 + 16 * 10
    assert trial.facts["hyperparameters"] == {"units": 16, "weight": 0.5}
    accuracy, loss = measure(evaluation.network, few)
    values = read_metrics(trial, objective)
    assert evaluation.value == (max if objective == "val_accuracy" else min)(values)
    best = read_curve(trial)[values.index(evaluation.value)].metrics
    assert best["val_accuracy"] == pytest.approx(accuracy)
    if not smoothing:
        assert best["val_loss"] == pytest.approx(loss, rel=1e-4)
    for part in ("", "val_"):
        total = best[f"{part}loss"] + sum(0.5 * best[f"{part}main_{n}_loss"] for n in range(heads))
        assert best[f"{part}total_loss"] == pytest.approx(total, rel=0.02 if not part else 1e-4)
        assert best[f"{part}loss"] == best[f"{part}main_loss"]
    assert not {key for key in best if key.removeprefix("val_")[0].isdigit()}

    save_model(tmp_path / "best.keras", evaluation.network, {})
    loaded = keras.models.load_model(tmp_path / "best.keras")
    assert [tuple(output.shape) for output in loaded.outputs] == [(None, 10)]
    assert loaded.count_params() == trial.facts["params"]
    assert (loaded.predict(few.validation.images, verbose=0).argmax(-1) == few.validation.labels).mean() == accuracy


def test_the_weight_of_the_heads_is_that_of_the_loss(study_config: Config, begin: Begin, few: Dataset) -> None:
    config = study_config()
    trial = begin(config)
    trial.preset = {"units": 16, "weight": 0.125}
    make_trainer(config, few, net=Heads())(trial)
    (epoch,) = read_curve(trial)
    extra = epoch.metrics["val_total_loss"] - epoch.metrics["val_loss"]
    assert extra == pytest.approx(0.125 * epoch.metrics["val_main_0_loss"], rel=1e-4)


@pytest.mark.slow
def test_the_weight_is_asked_for_in_the_space_s_scope(study_config: Config, begin: Begin, few: Dataset) -> None:
    config = study_config()
    trainer = make_trainer(config, few, heads=Heads(), plain=Plain(), quiet=Heads(asks=False))
    trial = begin(config)
    trial.preset = {"space": "heads", "heads/units": 16, "heads/weight": 0.25}
    trainer(trial)
    assert trial.facts["hyperparameters"] == trial.preset == trial._study.list_trials()[0].params
    assert trainer.resolve_point("heads", {"weight": 0.75}).values == {
        "space": "heads",
        "heads/units": 32,
        "heads/weight": 0.75,
    }
    assert trainer.resolve_point("plain", {}).values == {"space": "plain"}
    assert trainer.resolve_point("quiet", {}).values == {"space": "quiet", "quiet/units": 32}
    for name in ("heads", "quiet"):
        network, _ = run_dry(trainer, name)
        assert len(network.outputs) == 1


def test_heads_of_a_compiled_model_are_its_own_affair(study_config: Config, begin: Begin, few: Dataset) -> None:
    class Compiled(Heads):
        def build(self, hp: Any) -> Any:
            model = super().build(hp)
            losses = ["categorical_crossentropy", "categorical_crossentropy"]
            model.compile("adam", losses, metrics=[["accuracy"], []], loss_weights=[1.0, 2.0])
            return model

    config = study_config()
    trial = begin(config)
    trainer = make_trainer(config, few, net=Compiled())
    evaluation = trainer(trial)
    assert trial.facts["hyperparameters"].keys() == {"units"}
    assert trainer.resolve_point("net", {}).values == {"units": 32}
    (epoch,) = read_curve(trial)
    extra = epoch.metrics["val_total_loss"] - epoch.metrics["val_loss"]
    assert extra == pytest.approx(2 * epoch.metrics["val_main_0_loss"], rel=1e-4)
    assert epoch.metrics["val_accuracy"] == pytest.approx(measure(evaluation.network, few)[0])


def test_a_fit_of_its_own_gets_the_labels_once_for_each_head(study_config: Config, begin: Begin, few: Dataset) -> None:
    class Fitting(Heads):
        def fit(self, hp: Any, model: Any, x: Any, y: Any, validation_data: Any, callbacks: Any, **kwargs: Any) -> Any:
            assert len(y) == len(validation_data[1]) == 2
            return model.fit(x, y, validation_data=validation_data, callbacks=callbacks, **kwargs)

    config = study_config()
    trial = begin(config)
    evaluation = make_trainer(config, few, net=Fitting())(trial)
    assert evaluation.value == pytest.approx(measure(evaluation.network, few)[0])


@pytest.mark.parametrize(
    ("names", "logs", "added"),
    [
        (["main"], {"loss": 1.0, "main_x": 2.0}, {}),
        (
            ["main", "side"],
            {"loss": 1.0, "main_loss": 0.5, "side_loss": 0.25, "val_loss": 2.0, "val_main_loss": 1.5},
            {"total_loss": 1.0, "loss": 0.5, "val_total_loss": 2.0, "val_loss": 1.5},
        ),
        (["a", "a_1"], {"a_accuracy": 1.0, "a_1_loss": 0.5, "loss": 3.0}, {"accuracy": 1.0}),
        (["a_1", "a"], {"a_1_accuracy": 1.0, "a_loss": 0.5, "loss": 3.0}, {"accuracy": 1.0}),
    ],
)
def test_the_first_output_s_metrics_have_plain_names(
    names: list[str], logs: dict[str, float], added: dict[str, float]
) -> None:
    images = keras.Input((1,))
    callback = PlainMetrics()
    callback.set_model(keras.Model(images, [layers.Dense(1, name=name)(images) for name in names]))
    metrics = dict(logs)
    callback.on_epoch_end(0, metrics)
    assert metrics == logs | added
    callback.on_epoch_end(0)


def test_a_fit_may_train_a_model_without_named_outputs(study_config: Config, begin: Begin, few: Dataset) -> None:
    class Own(keras.Model):
        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network = network

        def call(self, images: Any) -> Any:
            return self.network(images)

    class Fitting(Plain):
        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            own = Own(model)
            own.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
            return own.fit(*args, **kwargs)

    config = study_config(training={"epochs": 2})
    evaluation = make_trainer(config, few, net=Fitting())(begin(config))
    assert evaluation.value == pytest.approx(measure(evaluation.network, few)[0])


# Phases


class Phased(SearchSpace):
    """Two convolutions: the second is trained first, then both."""

    def __init__(self, *plan: Phase, before: Callable[[int, Any], Any] = lambda phase, model: None) -> None:
        super().__init__()
        self.plan = plan or (Phase(share=0.5), Phase(rate=0.1))
        self.before = before
        self.weights: list[Any] = []
        self.passes = 0
        self.initialized: list[Any] = []

    def build(self, hp: Any) -> Any:
        images = keras.Input(self.input_shape)
        x = layers.Flatten()(images)
        x = layers.Dense(hp.Int("units", 16, 64, default=32), activation="relu", name="base")(x)
        return keras.Model(images, layers.Dense(10, activation="softmax", name="top")(x))

    def initialize(self, hp: Any, model: Any) -> None:
        self.initialized.append((dict(hp.values), model))

    def phases(self, hp: Any, model: Any) -> Iterator[Phase]:
        self.weights.clear()
        self.passes += 1  # the first one only asks
        for number, phase in enumerate(self.plan):
            model.get_layer("base").trainable = number > 0
            self.weights.append(model.get_layer("base").get_weights()[0])
            if self.passes > 1:
                self.before(number, model)
            yield phase
        self.weights.append(model.get_layer("base").get_weights()[0])


def spoil(model: Any) -> None:
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])


@pytest.mark.parametrize("limits", [{}, pytest.param(NO_CACHE, marks=pytest.mark.slow)])
def test_two_phases(
    study_config: Config, begin: Begin, few: Dataset, limits: dict[str, int], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("searchcnn.training.features.locate_cache", lambda kind: tmp_path / kind)
    config = study_config(training={"epochs": 6}, limits=limits)
    space = Phased()
    trial = begin(config)
    evaluation = make_trainer(config, few, net=space)(trial)
    assert [epoch.number for epoch in read_curve(trial)] == [1, 2, 3, 4, 5, 6]
    assert [epoch.learning_rate for epoch in read_curve(trial)] == pytest.approx([0.01] * 3 + [0.001] * 3)
    start, middle = space.weights
    np.testing.assert_array_equal(start, middle)
    assert np.abs(evaluation.network.layers[-1].get_layer("base").get_weights()[0] - middle).max() > 1e-4
    values = read_metrics(trial)
    assert evaluation.value == max(values) > 0.6
    assert measure(evaluation.network, few)[0] == pytest.approx(max(values))


@pytest.mark.parametrize(
    ("plan", "epochs", "expected"),
    [
        ((Phase(share=0.3), Phase(rate=0.1)), 1, [1.0]),
        ((Phase(share=0.5), Phase(0.25, 0.1), Phase(rate=0.2)), 4, [1.0, 1.0, 0.1, 0.2]),
        pytest.param((Phase(share=0.0), Phase(share=0.01, rate=0.5)), 4, [1.0, 0.5], marks=pytest.mark.slow),
        pytest.param((Phase(share=1.0), Phase(share=1.0, rate=0.5)), 3, [1.0] * 3, marks=pytest.mark.slow),
    ],
)
def test_the_epochs_are_shared_out(
    study_config: Config, begin: Begin, few: Dataset, plan: tuple[Phase, ...], epochs: int, expected: list[float]
) -> None:
    config = study_config(training={"epochs": epochs}, limits=NO_CACHE)
    trial = begin(config)
    make_trainer(config, few, net=Phased(*plan))(trial)
    assert [(epoch.learning_rate or 0.0) / 0.01 for epoch in read_curve(trial)] == pytest.approx(expected)
    assert trial.facts["stopped"] == "finished"


@pytest.mark.slow
def test_the_schedule_is_that_of_each_phase(study_config: Config, begin: Begin, few: Dataset) -> None:
    config = study_config(training={"epochs": 4, "schedule": "cosine"}, limits=NO_CACHE)
    trial = begin(config)
    make_trainer(config, few, net=Phased())(trial)
    wave = [0.5 * (1 + math.cos(math.pi * part / 2)) for part in (1, 2)]
    rates = [0.01 * part for part in wave] + [0.001 * part for part in wave]
    assert [epoch.learning_rate for epoch in read_curve(trial)] == pytest.approx(rates, abs=1e-7)


@pytest.mark.slow
def test_the_best_weights_may_be_the_first_phase_s(
    study_config: Config, begin: Begin, few: Dataset, tmp_path: Path, monkeypatch: Any
) -> None:
    """Phase two starts from nothing, at a rate at which it learns nothing."""
    monkeypatch.setattr("searchcnn.training.features.locate_cache", lambda kind: tmp_path / kind)
    space = Phased(Phase(0.5), Phase(rate=1e-9), before=lambda phase, model: spoil(model) if phase else None)
    config = study_config(training={"epochs": 4}, search={"objective": "val_loss"})
    trial = begin(config)
    evaluation = make_trainer(config, few, net=space)(trial)
    values = read_metrics(trial, "val_loss")
    assert len(values) == 4
    assert min(values) in values[:2]
    assert evaluation.value == min(values) != values[3]
    assert measure(evaluation.network, few)[1] == pytest.approx(min(values), rel=1e-4)


@pytest.mark.slow
def test_early_stopping_of_a_phase_leads_to_the_next(study_config: Config, begin: Begin, few: Dataset) -> None:
    space = Phased(Phase(share=0.8, rate=1e-9), Phase())
    config = study_config(training={"epochs": 10, "patience": 2}, limits=NO_CACHE)
    trial = begin(config)
    make_trainer(config, few, net=space)(trial)
    rates = [epoch.learning_rate for epoch in read_curve(trial)]
    assert rates[:4] == pytest.approx([1e-11] * 3 + [0.01])  # the first epoch, and as many as patience allows
    assert len(rates) > 5
    assert max(read_metrics(trial)[3:]) > max(read_metrics(trial)[:3])


def check_one_phase(space: Phased) -> None:
    assert len(space.weights) == 1


def test_pruning_in_the_first_phase_ends_all(study_config: Config, begin: Begin, few: Dataset) -> None:
    pruner = {"name": "ThresholdPruner", "lower": 2.0}
    config = study_config(training={"epochs": 6}, search={"pruner": pruner}, limits=NO_CACHE)
    trial, space = begin(config), Phased()
    with pytest.raises(TrialPrunedError):
        make_trainer(config, few, net=space)(trial)
    check_one_phase(space)
    assert len(read_curve(trial)) == 1


@pytest.mark.parametrize("how", ["interrupted", "timeout"])
def test_a_stop_in_the_first_phase_ends_all(study_config: Config, begin: Begin, few: Dataset, how: str) -> None:
    stop, space = threading.Event(), Phased()

    def hear(event: Event) -> None:
        if isinstance(event, EpochFinished):
            if how == "interrupted":
                stop.set()
            else:
                trial.budget = Budget(None, 0.0)

    config = study_config(training={"epochs": 6}, limits=NO_CACHE)
    trial = begin(config, stop=stop, hear=hear)
    trainer = make_trainer(config, few, net=space)
    if how == "interrupted":
        with pytest.raises(InterruptedTrialError):
            trainer(trial)
        assert len(read_curve(trial)) == 1
    else:
        evaluation = trainer(trial)
        assert evaluation.is_cut
        assert trial.facts["stopped"] == "timeout"
        assert 1 <= len(read_curve(trial)) <= 2
        assert measure(evaluation.network, few)[0] == pytest.approx(evaluation.value)
    check_one_phase(space)


class Deep(Phased):
    """The same on a layer that is never trained."""

    def build(self, hp: Any) -> Any:
        images = keras.Input(self.input_shape)
        x = layers.Dense(32, name="stem", trainable=False)(layers.Flatten()(images))
        x = layers.Dense(32, activation="relu", name="base")(x)
        return keras.Model(images, layers.Dense(10, activation="softmax", name="top")(x))


@pytest.mark.parametrize("phase", [0, 1])
def test_time_that_is_over_while_features_are_computed(
    study_config: Config, begin: Begin, few: Dataset, tmp_path: Path, monkeypatch: Any, phase: int
) -> None:
    monkeypatch.setattr("searchcnn.training.features.locate_cache", lambda kind: tmp_path / kind)

    def end(number: int, model: Any) -> None:
        if number == phase:
            trial.budget = Budget(None, 0.0)

    config = study_config(training={"epochs": 4})
    trainer = make_trainer(config, few, net=Deep(before=end))
    trial = begin(config)
    if phase == 0:
        with pytest.raises(InterruptedTrialError):
            trainer(trial)
        assert read_curve(trial) == []
    else:
        evaluation = trainer(trial)
        assert evaluation.is_cut
        assert [epoch.number for epoch in read_curve(trial)] == [1, 2]
        assert measure(evaluation.network, few)[0] == pytest.approx(evaluation.value)


def test_what_training_asks_for_is_known_before_it_begins(study_config: Config, begin: Begin, few: Dataset) -> None:
    class Asking(Phased):
        def phases(self, hp: Any, model: Any) -> Iterator[Phase]:
            yield Phase(rate=hp.Float("rate", 0.1, 1.0))

    def hear(event: Event) -> None:
        if isinstance(event, EpochFinished):
            points.append(dict(trial.stored.user_attrs["hyperparameters"]))

    points: list[dict[str, Any]] = []
    config = study_config(limits=NO_CACHE)
    trial = begin(config, hear=hear)
    make_trainer(config, few, net=Asking())(trial)
    assert points[0].keys() == {"units", "rate"}


def spoil_with_nan(layer: Any) -> None:
    layer.set_weights([np.full_like(weight, np.nan) for weight in layer.get_weights()])


def test_a_loss_that_is_no_number_in_the_first_phase_ends_all(study_config: Config, begin: Begin, few: Dataset) -> None:
    config = study_config(training={"epochs": 6}, limits=NO_CACHE)
    space = Phased(before=lambda phase, model: spoil_with_nan(model.get_layer("top")))
    assert math.isnan(make_trainer(config, few, net=space)(begin(config)).value)
    check_one_phase(space)


@pytest.mark.slow
def test_the_loss_of_a_head_that_is_no_number_ends_all(study_config: Config, begin: Begin, few: Dataset) -> None:
    class Broken(Heads):
        def initialize(self, hp: Any, model: Any) -> None:
            spoil_with_nan(model.get_layer("main_0"))

    config = study_config()
    trial = begin(config)
    assert math.isnan(make_trainer(config, few, net=Broken())(trial).value)
    assert read_curve(trial) == []


class Asking(Phased):
    """Asks for hyperparameters in its phases, and trains with what it is told."""

    def phases(self, hp: Any, model: Any) -> Iterator[Phase]:
        yield Phase(share=0.5)
        yield Phase(rate=hp.Float("fine", 0.1, 1.0, default=0.25))


@pytest.mark.slow
def test_what_phases_ask_for(study_config: Config, begin: Begin, few: Dataset) -> None:
    config = study_config(training={"epochs": 2}, limits=NO_CACHE)
    trainer = make_trainer(config, few, one=Asking(), other=Plain())
    trial = begin(config)
    trial.preset = {"space": "one", "one/units": 16, "one/fine": 0.5}
    trainer(trial)
    assert trial.facts["hyperparameters"] == trial.preset == trial._study.list_trials()[0].params
    assert [epoch.learning_rate for epoch in read_curve(trial)] == pytest.approx([0.01, 0.005])
    assert trainer.resolve_point("one", {"units": 64}).values == {"space": "one", "one/units": 64, "one/fine": 0.25}
    assert trainer.resolve_point("one", {"fine": 0.75}).values["one/fine"] == 0.75
    run_dry(trainer, "one")


def test_a_space_without_a_phase(study_config: Config, begin: Begin, few: Dataset) -> None:
    class Empty(Plain):
        def phases(self, hp: Any, model: Any) -> Iterator[Phase]:
            yield from ()

    config = study_config()
    trainer = make_trainer(config, few, net=Empty())
    with pytest.raises(PluginError, match=r"phases\(hp, model\) yields nothing; expected at least one"):
        trainer(begin(config))
    with pytest.raises(PluginError, match=r"^search space 'net': phases\(hp, model\) yields nothing"):
        run_dry(trainer, "net")


@pytest.mark.parametrize("kind", ["fit", "compiled"])
def test_a_space_that_trains_or_compiles_by_itself_has_one_phase(
    study_config: Config, begin: Begin, few: Dataset, kind: str
) -> None:
    class Fitting(Phased):
        def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
            return model.fit(*args, **kwargs)

    class Compiled(Phased):
        def build(self, hp: Any) -> Any:
            model = super().build(hp)
            model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
            return model

    config = study_config(training={"epochs": 3})
    space = (Fitting if kind == "fit" else Compiled)()
    trial = begin(config)
    make_trainer(config, few, net=space)(trial)
    assert len(read_curve(trial)) == 3
    assert space.weights == []
    assert len(space.initialized) == 1


# Pretrained weights


@pytest.mark.slow
def test_weights_are_loaded_for_networks_that_are_trained(study_config: Config, begin: Begin, few: Dataset) -> None:
    config = study_config(limits=NO_CACHE)
    space = Phased()
    trainer = make_trainer(config, few, net=space, other=Plain())
    trainer.resolve_point("net", {"units": 64})
    assert space.initialized == []
    trial = begin(config)
    trial.preset = {"space": "net", "net/units": 16}
    network = trainer(trial).network
    ((values, trained),) = space.initialized
    assert values == {"space": "net", "net/units": 16}
    assert network.layers[-1].get_layer("base") is trained.get_layer("base")
    model, _ = run_dry(trainer, "net")
    assert model.layers[-1].get_layer("base") is space.initialized[1][1].get_layer("base")


def test_no_weights_are_loaded_beyond_a_limit(study_config: Config, begin: Begin, few: Dataset) -> None:
    config = study_config(limits={"max_params": 100})
    space = Phased()
    with pytest.raises(InfeasibleError):
        make_trainer(config, few, net=space)(begin(config))
    assert space.initialized == []


def test_training_begins_with_the_loaded_weights(study_config: Config, begin: Begin, few: Dataset) -> None:
    class Loading(Phased):
        def initialize(self, hp: Any, model: Any) -> None:
            model.get_layer("base").set_weights([np.full((64, hp.get("units")), 0.5), np.ones(hp.get("units"))])

    config = study_config(limits=NO_CACHE)
    space = Loading()
    evaluation = make_trainer(config, few, net=space)(begin(config))
    assert (space.weights[0] == 0.5).all()
    assert (
        evaluation.network.layers[-1].get_layer("base").get_weights()[0] == 0.5
    ).all()  # one epoch, in the first phase


@pytest.mark.slow
def test_a_hypermodel_of_others_needs_none_of_this(
    study_config: Config, begin: Begin, few: Dataset, make_space: Any
) -> None:
    def heads(hp: Any) -> Any:
        images = keras.Input((8, 8, 1))
        x = layers.Flatten()(images)
        return keras.Model(images, [layers.Dense(10, activation="softmax", name=name)(x) for name in ("one", "two")])

    config = study_config()
    trial = begin(config)
    trainer = Trainer(config, few, {"net": make_space(heads)})
    trainer(trial)
    (epoch,) = read_curve(trial)
    extra = epoch.metrics["val_total_loss"] - epoch.metrics["val_loss"]
    assert extra == pytest.approx(0.3 * epoch.metrics["val_two_loss"], rel=1e-4)
    assert trainer.resolve_point("net", {}).values == {}
    run_dry(trainer, "net")


# The form of the images


def fit_once(config: StudyConfig, data: Dataset, space: Any, **recipe: Any) -> tuple[Any, dict[str, Any]]:
    """Returns a network and the metrics of an epoch, one batch, in which nothing is learnt."""
    keras.utils.set_random_seed(0)
    trainer = make_trainer(config, data, net=space)
    hp = keras_tuner.HyperParameters()
    candidate = trainer.sample(hp)
    model = candidate.model
    for layer in model.layers:
        if getattr(layer, "units", 0) == 10:
            layer.bias.assign(np.linspace(0, 2, 10))  # the last classes, of which there are more, are expected
    how = Recipe(1, 1, len(data.train), optimizer="sgd", learning_rate=1e-30, **recipe)
    history = fit_phase(replace(candidate, recipe=how), Stretch(data.train, data.validation, 0))
    return model, {key: values[-1] for key, values in history.history.items()}


def compute_losses(outputs: Any, labels: Any) -> Any:
    """Returns the cross entropy of each image."""
    return -np.log(outputs[np.arange(len(labels)), labels])


@pytest.mark.parametrize("heads", [0, 1])
def test_class_weights_change_the_loss_of_training_only(study_config: Config, few: Dataset, heads: int) -> None:
    uneven = replace(few, train=few.train.take(np.flatnonzero((few.train.labels > 4) | (np.arange(256) % 4 == 0))))
    model, metrics = fit_once(study_config(), uneven, Heads(heads), class_weights=True)
    labels = uneven.train.labels
    weights = len(labels) / (10 * np.bincount(labels))[labels]
    outputs = model.predict(make_arrays(uneven.train)[0], verbose=0)
    expected = {"main_loss": outputs[0], "main_0_loss": outputs[1]} if heads else {"loss": outputs}
    for name, output in expected.items():
        assert metrics[name] == pytest.approx((weights * compute_losses(output, labels)).mean(), rel=1e-3)
        assert metrics[name] != pytest.approx(compute_losses(output, labels).mean(), rel=1e-2)


def test_validation_images_are_neither_weighted_nor_changed(study_config: Config, few: Dataset) -> None:
    changes = Augmentation(flip=True, shift=0.3, rotation=90.0, contrast=0.5, cutout=0.5, mixup=0.5)
    model, metrics = fit_once(study_config(), few, Plain(), class_weights=True, augmentation=changes)
    outputs = model.predict(make_arrays(few.validation)[0], verbose=0)
    assert metrics["val_loss"] == pytest.approx(compute_losses(outputs, few.validation.labels).mean(), rel=1e-4)
    outputs = model.predict(make_arrays(few.train)[0], verbose=0)
    assert metrics["loss"] != pytest.approx(compute_losses(outputs, few.train.labels).mean(), rel=1e-2)


def test_balanced_weights() -> None:
    assert weigh_classes(np.array([0, 0, 0, 3])) == [4 / (2 * 3), 2.0, 2.0, 2.0]


@pytest.mark.parametrize("kind", ["standardize", "zca"])
def test_a_network_is_trained_on_what_it_will_see(study_config: Config, begin: Begin, few: Dataset, kind: str) -> None:
    """With everything on: the value is that of the saved classifier on raw pixels."""
    changes = {"flip": True, "rotation": 5.0, "zoom": 0.1, "contrast": 0.1, "cutout": 0.1, "mixup": 0.1}
    config = study_config(training={"epochs": 3, "normalization": kind, "class_weights": True, **changes})
    evaluation = make_trainer(config, few, net=Heads())(begin(config))
    assert evaluation.value == pytest.approx(measure(evaluation.network, few)[0])
    assert evaluation.value > 0.5
    assert evaluation.recipe["normalization"] == kind
    assert evaluation.recipe["rotation"] == 5.0


def test_statistics_are_computed_once(study_config: Config, few: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(study_config(), few, net=Plain())
    first = trainer.inputs.make_normalization("zca")
    monkeypatch.setattr(Normalization, "of", None)
    assert trainer.inputs.make_normalization("zca") is first


@pytest.mark.slow
def test_features_of_normalised_images(
    study_config: Config, begin: Begin, few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("searchcnn.training.features.locate_cache", lambda kind: tmp_path / kind)
    for number, kind in enumerate(("scale", "standardize"), 1):
        config = study_config(training={"epochs": 2, "normalization": kind})
        evaluation = make_trainer(config, few, net=Deep(Phase()))(begin(config))
        assert measure(evaluation.network, few)[0] == pytest.approx(evaluation.value)
        assert len(list((tmp_path / "features").glob("*.npy"))) == 2 * number


# Validation


def test_steps_of_a_validation_are_equal_where_each_size_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_validation_batch(6000) == 512
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert [choose_validation_batch(images) for images in (6000, 1024, 521, 100)] == [500, 512, 512, 512]
