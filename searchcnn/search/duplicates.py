"""Proposals that are nearly a trial that was had: samplers that have seen few trials repeat themselves."""

from collections.abc import Iterable, Mapping
from typing import Any

from optuna.trial import FrozenTrial

NEAR = 0.05
"""Relative difference below which two numbers are nearly the same."""


def find_near(hyperparameters: Mapping[str, Any], trials: Iterable[FrozenTrial]) -> FrozenTrial | None:
    """Returns a trial whose hyperparameters are nearly some others; None if there is none.

    Args:
        hyperparameters: The values, by name.
        trials: Trials that were trained.
    """
    return next((trial for trial in trials if _is_near(hyperparameters, trial.user_attrs["hyperparameters"])), None)


def _is_near(some: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    return some.keys() == others.keys() and all(_is_close(value, others[name]) for name, value in some.items())


def _is_close(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= NEAR * max(abs(one), abs(other))
    return bool(one == other)
