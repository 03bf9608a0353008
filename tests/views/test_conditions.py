"""When a hyperparameter is asked for, inferred from points."""

from collections.abc import Callable
from typing import Any

import pytest

from searchcnn.backend import start_keras

start_keras()

from searchcnn.testing.sample import RandomPoint, Sample  # noqa: E402
from searchcnn.views.conditions import infer_condition  # noqa: E402


def sample_points(ask: Callable[[Any], None], count: int = 64) -> list[Sample]:
    """Returns random points of a function that only asks for hyperparameters."""
    points = [RandomPoint(seed) for seed in range(count)]
    samples = []
    for hp in points:
        ask(hp)
        active = tuple(parameter for parameter in hp.space if hp.is_active(parameter))
        samples.append(Sample(hp.active, tuple(hp.space), active, (), ("network",)))
    return samples


def ask_several(hp: Any) -> None:
    blocks, head = hp.Int("blocks", 1, 5), hp.Choice("head", ["flat", "average", "max"])
    rate, width = hp.Float("rate", 0.0, 1.0), hp.Int("width", 1, 1000)
    is_deep = hp.Boolean("is_deep")
    asked = {
        "at_least": blocks >= 3,
        "at_most": blocks <= 2,
        "exactly": blocks == 5,
        "choice": head == "flat",
        "choices": head != "max",
        "both": is_deep and blocks >= 4,
        "either": is_deep or head == "flat",
        "continuous": rate < 0.5,
        "wide": width > 500,
    }
    for name in (name for name, is_asked in asked.items() if is_asked):
        hp.Int(name, 0, 1000)
    with hp.conditional_scope("head", ["average"]):
        hp.Int("scoped", 0, 1000)
    if is_deep and hp.Boolean("inner"):
        hp.Int("nested", 0, 1000)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("blocks", ""),
        ("at_least", "blocks >= 3"),
        ("at_most", "blocks <= 2"),
        ("exactly", "blocks = 5"),
        ("choice", "head = flat"),
        ("choices", "head = average or flat"),
        ("both", "blocks >= 4, is_deep = True"),
        ("either", "is_deep = True or head = flat"),
        ("scoped", "head = average"),
        ("inner", "is_deep = True"),
        ("nested", "inner = True"),
        ("continuous", "sometimes"),
        ("wide", "sometimes"),
    ],
)
def test_conditions(name: str, expected: str) -> None:
    assert infer_condition(name, sample_points(ask_several)) == expected
