"""Which way is better, of every metric that Keras has."""

import doctest
import inspect
import re

import pytest

from searchcnn.backend import start_keras
from searchcnn.errors import StudyFileError
from searchcnn.study import directions, validate
from searchcnn.study.directions import LARGER_IS_BETTER, SMALLER_IS_BETTER, direction_of

BASE = ("Loss", "Metric", "Mean", "Sum", "MeanMetricWrapper", "LossFunctionWrapper")
"""What others are made from: what they measure is not said."""


def names() -> set[str]:
    """Returns what Keras calls its metrics and losses in the logs of a training."""
    start_keras()
    import keras

    found = set()
    for module in (keras.metrics, keras.losses):
        for name, item in vars(module).items():
            if inspect.isclass(item) and name not in BASE:
                default = inspect.signature(item).parameters["name"].default
                found.add(default or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
            elif inspect.isfunction(item) and name not in ("get", "serialize", "deserialize"):
                found.add(name)
    return found


def test_every_metric_and_loss_of_keras_has_a_direction() -> None:
    assert len(names()) > 50
    assert {name for name in names() if direction_of(f"val_{name}") is None} == set()


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(directions).failed == 0


def test_no_metric_has_two() -> None:
    assert not LARGER_IS_BETTER & SMALLER_IS_BETTER


@pytest.mark.parametrize("objective", ["val_cost", "val_side_accuracy", "val_acuracy", "val_mean", "val_top5"])
def test_others_have_to_be_given_one(objective: str) -> None:
    table = {"spaces": ["any"], "data": {"name": "digits"}, "budget": {"trials": 1}, "search": {"objective": objective}}
    with pytest.raises(StudyFileError, match=f"'{objective}' is not a metric of Keras.*set search.direction") as raised:
        validate(table, "study.toml")
    assert "\n" not in str(raised.value)
    for direction in ("maximize", "minimize"):
        table["search"] = {"objective": objective, "direction": direction}
        assert validate(table, "study.toml").search.maximize is (direction == "maximize")
