"""Proposals that are nearly a trial that was had."""

from typing import Any

import pytest
from optuna.trial import TrialState, create_trial

from searchcnn.search.duplicates import find_near

TRIALS = [
    create_trial(state=TrialState.PRUNED, user_attrs={"hyperparameters": values})
    for values in ({"filters": 8, "rate": 0.01, "pool": "max"}, {"filters": 8, "rate": 0.5, "pool": "max", "units": 4})
]


@pytest.mark.parametrize(
    ("values", "is_near"),
    [
        ({"filters": 8, "rate": 0.01, "pool": "max"}, True),
        ({"filters": 8, "rate": 0.0104, "pool": "max"}, True),
        ({"filters": 8, "rate": 0.011, "pool": "max"}, False),
        ({"filters": 9, "rate": 0.01, "pool": "max"}, False),
        ({"filters": 8, "rate": 0.01, "pool": "mean"}, False),
        ({"filters": 8, "rate": 0.01}, False),
        ({"filters": 8, "rate": 0.5, "pool": "max", "units": 4}, True),
        ({}, False),
    ],
)
def test_what_is_nearly_the_same(values: dict[str, Any], is_near: bool) -> None:
    assert (find_near(values, TRIALS) is not None) == is_near
