"""Every optimizer and schedule of a study file does what it says."""

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.study.values import OptimizerName, ScheduleName

start_keras()

import keras  # noqa: E402

from searchcnn.training import Recipe  # noqa: E402
from searchcnn.training.network import compile_model  # noqa: E402
from searchcnn.training.optimizers import make_optimizer  # noqa: E402

OPTIMIZERS = get_args(OptimizerName)
EPOCHS, STEPS = 4, 25


def make_recipe(**settings: Any) -> Recipe:
    usual = Recipe(epochs=EPOCHS, patience=1, batch_size=8, optimizer="sgd", learning_rate=0.1)
    return replace(usual, **settings)


def list_learning_rates(schedule: str) -> Any:
    """Returns the learning rate of each of a trial's 100 steps and of the one after."""
    optimizer = make_optimizer(make_recipe(schedule=schedule), STEPS)
    rates = []
    for step in range(EPOCHS * STEPS + 1):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    return np.array(rates)


def measure_step(gradient: float, **settings: Any) -> float:
    """Returns how far one step moves a weight of 1."""
    optimizer = make_optimizer(make_recipe(**settings), STEPS)
    weight = keras.Variable(np.ones((2, 2), "float32"))
    optimizer.build([weight])
    optimizer.apply([keras.ops.full((2, 2), gradient)], [weight])
    return 1.0 - float(keras.ops.max(weight))


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("schedule", get_args(ScheduleName))
def test_each_optimizer_takes_each_schedule(name: str, schedule: str) -> None:
    optimizer = make_optimizer(make_recipe(optimizer=name, schedule=schedule), STEPS)
    assert type(optimizer).__name__.lower() == name
    assert 0 < float(optimizer.learning_rate) < 0.11


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_goes_down_the_gradient(name: str) -> None:
    assert measure_step(1.0, optimizer=name, momentum=0.9) > 1e-3
    model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    compile_model(model, make_recipe(optimizer=name, momentum=0.9), STEPS)
    assert type(model.optimizer).__name__.lower() == name


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_shrinks_weights_without_a_gradient(name: str) -> None:
    assert measure_step(0.0, optimizer=name) == 0.0  # also of adamw, which decays by Keras' default
    assert measure_step(0.0, optimizer=name, weight_decay=0.5) == pytest.approx(0.1 * 0.5, rel=1e-4)


def test_momentum_is_nesterovs() -> None:
    assert measure_step(1.0) == pytest.approx(0.1)
    assert measure_step(1.0, momentum=0.9) == pytest.approx(0.1 * (1 + 0.9))
    rmsprop = make_optimizer(make_recipe(optimizer="rmsprop", momentum=0.8), STEPS)
    assert rmsprop.momentum == 0.8


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_constant(schedule: str) -> None:
    assert list_learning_rates(schedule) == pytest.approx(0.1)


def test_cosine_falls_to_zero_over_all_epochs() -> None:
    rates = list_learning_rates("cosine")
    assert (np.diff(rates) < 0).all()
    assert rates[[0, 50, 100]] == pytest.approx([0.1, 0.05, 0.0], abs=1e-6)


def test_linear_rises_to_its_peak_and_falls_to_zero() -> None:
    rates = list_learning_rates("linear")
    assert rates[[0, 14, 15, 100]] == pytest.approx([0.1 / 15, 0.1, 0.1, 0.0], abs=1e-6)
    assert np.diff(rates[:15]) == pytest.approx(0.1 / 15, rel=1e-3)
    assert np.diff(rates[15:]) == pytest.approx(-0.1 / 85, rel=1e-3)


def test_one_cycle_rises_to_its_peak_and_falls_to_zero() -> None:
    rates = list_learning_rates("one_cycle")
    assert rates[[0, 30, 100]] == pytest.approx([0.1 / 25, 0.1, 0.0], abs=1e-6)
    assert (np.diff(rates[:31]) > 0).all()
    assert (np.diff(rates[30:]) < 0).all()


def test_step_divides_by_ten_twice() -> None:
    rates = list_learning_rates("step")
    assert rates[:51] == pytest.approx(0.1)
    assert rates[51:76] == pytest.approx(0.01)
    assert rates[76:] == pytest.approx(0.001)


@pytest.mark.parametrize("schedule", get_args(ScheduleName))
def test_a_single_step_is_enough(schedule: str) -> None:
    optimizer = make_optimizer(make_recipe(schedule=schedule, epochs=1), 1)
    assert float(optimizer.learning_rate) > 0
