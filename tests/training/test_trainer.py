"""Trials that are trained for real: their value, their curve, and each way in which they end."""

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.data import Dataset
from searchcnn.errors import InfeasibleError, PluginError
from searchcnn.events import Epoch, EpochProgressed, Event
from searchcnn.search import (
    Budget,
    InterruptedTrialError,
    Search,
    SeededSampler,
    Trial,
    TrialPrunedError,
    check_limits,
)
from searchcnn.store import StoredStudy
from searchcnn.study import StudyConfig

start_keras()

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from searchcnn.training import Trainer  # noqa: E402
from searchcnn.training import trainer as trainer_module  # noqa: E402

Config = Callable[..., StudyConfig]
Begin = Callable[..., Trial]
Stored = Callable[[StudyConfig], StoredStudy]
MakeSpace = Callable[..., Any]
layers = keras.layers


class Callback(keras.callbacks.Callback):
    """Counts batches, and calls a function before each epoch and after each batch of the first one."""

    def __init__(
        self, after_batch: Callable[[int], Any] = lambda batch: None, before_epoch: Callable[..., Any] | None = None
    ) -> None:
        super().__init__()
        self.batches = 0
        self._after_batch = after_batch
        self._before_epoch = before_epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._before_epoch:
            self._before_epoch(epoch, self.model)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batches += 1
        self._after_batch(batch)


def add_callback(make_space: MakeSpace, callback: Callback) -> Any:
    """Returns a search space that puts a callback before the engine's own."""

    def fit(hp: Any, model: Any, *args: Any, callbacks: Any, **kwargs: Any) -> Any:
        return model.fit(*args, callbacks=[callback, *callbacks], **kwargs)

    return make_space(fit=fit)


def search(study: StoredStudy, trainer: Trainer, trials: int) -> None:
    sampler = study.optuna.sampler
    assert isinstance(sampler, SeededSampler)
    Search(study, sampler, trainer, Budget(trials, None)).run()


def read_curve(trial: Trial) -> list[Epoch]:
    return trial._study.read_curve(trial.number)


def read_accuracies(trial: Trial) -> list[float]:
    return [epoch.metrics["val_accuracy"] for epoch in read_curve(trial)]


def measure_accuracy(network: Any, data: Dataset) -> float:
    """Returns the accuracy on the validation images, computed without Keras' metrics."""
    predicted = network.predict(data.validation.images, verbose=0).argmax(-1)
    return float((predicted == data.validation.labels).mean())


def test_a_trial(study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace) -> None:
    heard: list[tuple[int, float]] = []

    def hear(event: Event) -> None:
        if isinstance(event, EpochProgressed):
            heard.append((event.epoch, event.fraction))

    config = study_config(training={"epochs": 3, "batch_size": 2})
    trial = begin(config, hear=hear)
    evaluation = Trainer(config, few, {"net": make_space()})(trial)
    units = trial.facts["hyperparameters"]["units"]
    loss = min(epoch.metrics["val_loss"] for epoch in read_curve(trial) if epoch.metrics["val_accuracy"] == trial.best)
    assert trial.facts == {
        "space": "net",
        "hyperparameters": {"units": units},
        "params": 65 * units + (units + 1) * 10,
        "macs": 64 * units + units * 10,
        "stopped": "finished",
        "val_loss": loss,
    }
    assert [epoch.number for epoch in read_curve(trial)] == [1, 2, 3]
    for epoch in read_curve(trial):
        assert set(epoch.metrics) == {"loss", "accuracy", "val_loss", "val_accuracy"}
        assert epoch.learning_rate == pytest.approx(0.01)
        assert epoch.seconds > 0
    assert evaluation.value == trial.best == max(read_accuracies(trial)) > 0.5
    assert all(1 <= epoch <= 3 and 0 < fraction <= 1 for epoch, fraction in heard)
    frozen = trial._study.list_trials()[0]
    assert frozen.intermediate_values[3] == trial.best
    assert frozen.user_attrs["hyperparameters"] == {"units": units}


@pytest.mark.parametrize("objective_name", ["val_loss", pytest.param("val_accuracy", marks=pytest.mark.slow)])
def test_early_stopping_gives_the_best_epoch_and_its_weights(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace, objective_name: str
) -> None:
    def spoil(epoch: int, model: Any) -> None:
        if epoch >= 2:
            model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])

    space = add_callback(make_space, Callback(before_epoch=spoil))
    config = study_config(training={"epochs": 9, "patience": 2}, search={"objective": objective_name})
    trial = begin(config)
    evaluation = Trainer(config, few, {"net": space})(trial)
    values = [epoch.metrics[objective_name] for epoch in read_curve(trial)]
    best = (max if objective_name == "val_accuracy" else min)(values)
    assert len(values) == 4  # two good epochs, then as many as patience allows
    assert best in values[:2]
    assert evaluation.value == best
    where = read_curve(trial)[values.index(best)]
    assert measure_accuracy(evaluation.network, few) == pytest.approx(where.metrics["val_accuracy"])
    assert trial.facts["stopped"] == "finished"


@pytest.mark.slow
def test_the_plateau_schedule_halves(study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace) -> None:
    config = study_config(training={"epochs": 6, "learning_rate": 1e-12, "schedule": "plateau"})
    trial = begin(config)
    Trainer(config, few, {"net": make_space()})(trial)
    rates = [(epoch.learning_rate or 0.0) / 1e-12 for epoch in read_curve(trial)]
    assert rates == pytest.approx([1, 1, 1, 0.5, 0.5, 0.25])


def test_a_schedule_ends_with_the_last_epoch(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace
) -> None:
    config = study_config(training={"epochs": 4, "schedule": "cosine"})
    trial = begin(config)
    Trainer(config, few, {"net": make_space()})(trial)
    rates = [epoch.learning_rate for epoch in read_curve(trial)]
    expected = [0.005 * (1 + math.cos(math.pi * part / 4)) for part in (1, 2, 3, 4)]
    assert rates == pytest.approx(expected, abs=1e-7)


def test_a_pruned_trial(study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace) -> None:
    config = study_config(training={"epochs": 9}, search={"pruner": {"name": "ThresholdPruner", "lower": 2.0}})
    trial = begin(config)
    with pytest.raises(TrialPrunedError):
        Trainer(config, few, {"net": make_space()})(trial)
    assert len(read_curve(trial)) == 1


def test_the_deadline_in_the_middle_of_an_epoch(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace
) -> None:
    def slow(batch: int) -> None:
        time.sleep(0.05)
        if batch == 4:
            trial.budget = Budget(None, time.monotonic() + 0.3)

    config = study_config(training={"epochs": 9, "batch_size": 2})
    trial, callback = begin(config), Callback(slow)
    evaluation = Trainer(config, few, {"net": add_callback(make_space, callback)})(trial)
    assert 5 <= callback.batches <= 5 + 0.3 / 0.05 + 1 < len(few.train) / 2
    assert len(read_curve(trial)) == 1
    assert evaluation.value == read_accuracies(trial)[0] == pytest.approx(measure_accuracy(evaluation.network, few))
    assert trial.facts["stopped"] == "timeout"


@pytest.mark.slow
def test_a_slow_first_batch_is_not_taken_for_the_speed_of_all(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace
) -> None:
    def compiles(batch: int) -> None:
        if batch == 0:  # a validation is 48 batches: at the first one's speed a third of it takes 16 seconds
            time.sleep(1)
            trial.budget = Budget(None, time.monotonic() + 10)

    config = study_config(training={"batch_size": 2})
    trial, callback = begin(config), Callback(compiles)
    Trainer(config, few, {"net": add_callback(make_space, callback)})(trial)
    assert (trial.facts["stopped"], callback.batches) == ("finished", 128)


@pytest.mark.parametrize(("batch", "epochs"), [(3, 0), (8 + 3, 1)])
def test_an_interruption_in_the_middle_of_an_epoch(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace, batch: int, epochs: int
) -> None:
    stop = threading.Event()
    callback = Callback(lambda _: stop.set() if callback.batches == batch else None)
    config = study_config(training={"epochs": 9})
    trial = begin(config, stop=stop)
    with pytest.raises(InterruptedTrialError):
        Trainer(config, few, {"net": add_callback(make_space, callback)})(trial)
    assert callback.batches == batch
    assert len(read_curve(trial)) == epochs
    assert "stopped" not in trial.facts


def test_a_loss_that_is_not_a_number_fails_the_trial(
    study_config: Config, stored: Stored, few: Dataset, make_space: MakeSpace
) -> None:
    config = study_config(training={"epochs": 9, "optimizer": "sgd", "learning_rate": 1e30}, search={"max_failures": 9})
    study = stored(config)
    trainer = Trainer(config, few, {"net": make_space()})
    search(study, trainer, 1)
    (failed,) = study.list_trials()
    assert failed.state.name == "FAIL"
    assert failed.user_attrs["reason"] == "NaN"
    assert study.read_curve(failed.number) == []


def test_too_large_a_network_is_not_trained(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace
) -> None:
    def fit(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("trained")

    config = study_config(limits={"max_params": 100})
    trial = begin(config)
    with pytest.raises(InfeasibleError, match="max_params") as raised:
        Trainer(config, few, {"net": make_space(fit=fit)})(trial)
    assert raised.value.excess == pytest.approx(trial.facts["params"] / 100 - 1)


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\nmore"), True),
        (RuntimeError("RESOURCE_EXHAUSTED: out of memory while trying to allocate 1 bytes"), True),
        (RuntimeError("room for improvement"), False),
    ],
)
def test_out_of_memory_is_infeasible(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace, error: Exception, is_memory: bool
) -> None:
    def fit(*args: Any, **kwargs: Any) -> None:
        raise error

    config = study_config()
    with pytest.raises(InfeasibleError if is_memory else RuntimeError) as raised:
        Trainer(config, few, {"net": make_space(fit=fit)})(begin(config))
    if isinstance(raised.value, InfeasibleError):
        assert raised.value.reason == "out of memory"
        assert "\n" not in raised.value.detail


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
def test_a_compiled_model_is_left_alone(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace, loss: str
) -> None:
    optimizer = keras.optimizers.SGD(0.5, momentum=0.5)
    models = []

    def mine(labels: Any, outputs: Any) -> Any:
        return keras.ops.max(outputs, axis=-1)

    def build(hp: Any) -> Any:
        model = keras.Sequential([layers.Flatten(), layers.Dense(10, activation="softmax")])
        model.compile(optimizer, loss, metrics=["accuracy", mine])
        models.append(model)
        return model

    config = study_config(training={"batch_size": [32, 16], "optimizer": ["adam", "lion"], "l2": 9.0, "epochs": 2})
    trial = begin(config)
    evaluation = Trainer(config, few, {"net": make_space(build)})(trial)
    assert models[-1].optimizer is optimizer
    assert set(trial.facts["hyperparameters"]) == {"training/batch_size"}
    assert {"mine", "val_mine"} <= set(read_curve(trial)[0].metrics)
    assert read_curve(trial)[0].learning_rate == 0.5
    assert evaluation.value > 0.5


def test_several_spaces_have_scopes_of_their_own(
    study_config: Config, stored: Stored, few: Dataset, make_space: MakeSpace
) -> None:
    def convolution(hp: Any) -> Any:
        images = keras.Input((8, 8, 1))
        x = layers.Conv2D(hp.Choice("units", [2, 4]), 3, activation="relu")(images)
        return keras.Model(images, layers.Dense(10, activation="softmax")(layers.Flatten()(x)))

    config = study_config(training={"batch_size": [64, 32]})
    trainer = Trainer(config, few, {"a": make_space(), "b": make_space(convolution)})
    points = trainer.resolve_point("a", {"units": 20}), trainer.resolve_point("b", {})
    presets = tuple(point.values for point in points)
    assert presets == (
        {"space": "a", "a/units": 20, "training/batch_size": 64},
        {"space": "b", "b/units": 2, "training/batch_size": 64},
    )
    study = stored(config)
    study.begin(("test", preset) for preset in presets)
    search(study, trainer, 2)
    done = study.list_trials()
    assert [trial.user_attrs["space"] for trial in done] == ["a", "b"]
    assert [trial.params for trial in done] == list(presets)
    assert [trial.user_attrs["hyperparameters"] for trial in done] == list(presets)
    check_limits(points[0][1], config.limits)
    assert points[0][1].params == 65 * 20 + 21 * 10


def test_randomness_comes_from_the_trial(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace
) -> None:
    seen: list[tuple[Any, Any]] = []

    def fit(hp: Any, model: Any, data: Any, **kwargs: Any) -> float:
        seen.append((model.get_weights()[0], np.concatenate([labels for _, labels in data])))
        return 0.5

    config = study_config()
    trainer = Trainer(config, few, {"net": make_space(fit=fit)})
    for number in (0, 0, 1):
        keras.utils.set_random_seed(len(seen))
        trial = begin(config, number)
        trial.preset = {"units": 16}
        trainer(trial)
    (first, order), (again, same_order), (other, other_order) = seen
    assert np.array_equal(first, again)
    assert np.array_equal(order, same_order)
    assert not np.array_equal(first, other)
    assert not np.array_equal(order, other_order)


def test_training_leaves_nothing_of_the_network_before(
    study_config: Config, begin: Begin, few: Dataset, make_space: MakeSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[bool] = []
    monkeypatch.setattr(trainer_module, "clear_keras", lambda: forgotten.append(True))
    config = study_config()
    with pytest.raises(PluginError):
        Trainer(config, few, {"net": make_space(lambda hp: None)})(begin(config))
    assert forgotten == [True]


@pytest.mark.slow
def test_the_validation_images_are_all_used(
    study_config: Config, begin: Begin, digits: Dataset, make_space: MakeSpace
) -> None:
    """Also where they are more than one batch: the value is of all of them."""
    config = study_config()
    trial = begin(config)
    evaluation = Trainer(config, digits, {"net": make_space()})(trial)
    evaluation.network.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    images, labels = digits.validation.images, digits.validation.labels
    scores = evaluation.network.evaluate(images, labels, batch_size=7, verbose=0, return_dict=True)
    assert evaluation.value == pytest.approx(scores["accuracy"])
