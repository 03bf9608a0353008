"""What is better: of two values, and of every metric that Keras has."""

import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searchcnn.backend import start_keras
from searchcnn.errors import StudyFileError
from searchcnn.study import Objective, validate
from searchcnn.study.objective import LARGER_IS_BETTER, SMALLER_IS_BETTER, Direction, find_direction

DIRECTIONS: tuple[Direction, ...] = ("maximize", "minimize")
BASE = ("Loss", "Metric", "Mean", "Sum", "MeanMetricWrapper", "LossFunctionWrapper")
"""What others are made from: what they measure is not said."""


def list_names() -> set[str]:
    """Returns what Keras calls its metrics and losses in the logs of a training."""
    start_keras()
    import keras

    names = set()
    for module in (keras.metrics, keras.losses):
        for name, item in vars(module).items():
            if inspect.isclass(item) and name not in BASE:
                default = inspect.signature(item).parameters["name"].default
                names.add(default or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
            elif inspect.isfunction(item) and name not in ("get", "serialize", "deserialize"):
                names.add(name)
    return names


@given(st.lists(st.floats(allow_nan=False, width=32), min_size=1))
def test_the_best_of_some_values(values: list[float]) -> None:
    larger, smaller = Objective("val_accuracy", "maximize"), Objective("val_loss", "minimize")
    assert (larger.choose_best(values), smaller.choose_best(values)) == (max(values), min(values))
    assert sorted(values, key=larger.merit, reverse=True) == sorted(values, reverse=True)
    assert sorted(values, key=smaller.merit, reverse=True) == sorted(values)


def test_what_callbacks_and_logs_are_asked_for() -> None:
    accuracy = Objective("val_accuracy", "maximize")
    assert (accuracy.mode, Objective("val_loss", "minimize").mode) == ("max", "min")
    assert (accuracy.read_value({"val_accuracy": 0.5, "loss": 1.0}), accuracy.read_value({"loss": 1.0})) == (0.5, None)


def test_every_metric_and_loss_of_keras_has_a_direction() -> None:
    assert len(list_names()) > 50
    assert {name for name in list_names() if find_direction(f"val_{name}") is None} == set()


def test_no_metric_has_two() -> None:
    assert not LARGER_IS_BETTER & SMALLER_IS_BETTER


@pytest.mark.parametrize("metric", ["val_cost", "val_side_accuracy", "val_acuracy", "val_mean", "val_top5"])
def test_others_have_to_be_given_one(metric: str) -> None:
    table = {"spaces": ["any"], "data": {"name": "digits"}, "budget": {"trials": 1}, "search": {"objective": metric}}
    with pytest.raises(StudyFileError, match=f"'{metric}' is not a metric of Keras.*set search.direction") as raised:
        validate(table, "study.toml")
    assert "\n" not in str(raised.value)
    for direction in DIRECTIONS:
        table["search"] = {"objective": metric, "direction": direction}
        assert validate(table, "study.toml").objective == Objective(metric, direction)
