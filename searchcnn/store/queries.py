"""Queries about a study's trials, so that they need not all be read."""

import json
from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import TrialState
from sqlalchemy import Float, cast, func, literal, select, tuple_
from sqlalchemy.orm import Session

from searchcnn.store.attributes import ENDED, MACHINE, MACS, PACE, SCORES, SETUP, SPACE, STRETCHES
from searchcnn.store.optuna_private import models
from searchcnn.store.tables import EpochRow
from searchcnn.study import Objective
from searchcnn.study.objective import TIEBREAKERS

LARGEST = 1e300
"""Stands for infinity, which JSON does not have."""


def list_finished(session: Session, study_id: int) -> list[int]:
    """Returns the numbers of a study's trials that have ended, in whatever state."""
    trial, states = models.TrialModel, [state for state in TrialState if state.is_finished()]
    query = select(trial.number).where(trial.study_id == study_id, trial.state.in_(states))
    return list(session.scalars(query))


def list_unusable(session: Session, study_id: int) -> list[int]:
    """Returns the numbers of a study's points that cannot be trained: they are PRUNED, and have no epoch."""
    trial, epoch = models.TrialModel, EpochRow
    has_epochs = select(epoch.trial_id).where(epoch.trial_id == trial.trial_id).exists()
    query = select(trial.number).where(trial.study_id == study_id, trial.state == TrialState.PRUNED, ~has_epochs)
    return list(session.scalars(query))


def count_begun(session: Session, study_id: int, only_trained: bool) -> int:
    """Returns the number of a study's trials that were begun, those that have ended included.

    Args:
        session: The database.
        study_id: The study.
        only_trained: Leave out points that cannot be trained; see `list_unusable`.
    """
    trial = models.TrialModel
    begun = select(func.count()).where(trial.study_id == study_id, trial.state != TrialState.WAITING)
    return (session.scalar(begun) or 0) - (len(list_unusable(session, study_id)) if only_trained else 0)


def count_before(session: Session, study_id: int, number: int, rank: Sequence[float], objective: Objective) -> int:
    """Returns the number of a study's COMPLETE trials that are better than one, or as good and earlier.

    Args:
        session: The database.
        study_id: The study.
        number: The trial's number.
        rank: Its rank; see `searchcnn.study.Objective.rank`.
        objective: What is better.
    """
    own = [min(value, LARGEST) for value in (*rank, number)]
    is_before = tuple_(*_select_rank(objective)) < tuple_(*map(literal, own))
    return session.scalar(_select_complete(select(func.count()), study_id).where(is_before)) or 0


def list_best(session: Session, study_id: int, objective: Objective, count: int) -> list[int]:
    """Returns the numbers of a study's best COMPLETE trials, the best one first."""
    query = _select_complete(select(models.TrialModel.number), study_id).order_by(*_select_rank(objective))
    return list(session.scalars(query.limit(count)))


def list_planned(session: Session, study_id: int) -> list[tuple[int, TrialState, dict[str, Any]]]:
    """Returns the trials that are trained in stretches: number, state, and what is known of the stretches."""
    keys = STRETCHES, SCORES, PACE, MACHINE, SETUP, MACS, SPACE, ENDED
    trial, fact = models.TrialModel, models.TrialUserAttributeModel
    query = select(trial.number, trial.state, fact.key, fact.value_json).join(fact, fact.trial_id == trial.trial_id)
    found: dict[int, tuple[int, TrialState, dict[str, Any]]] = {}
    for number, state, key, value in session.execute(query.where(trial.study_id == study_id, fact.key.in_(keys))):
        found.setdefault(number, (number, state, {}))[2][key] = json.loads(value)
    return [found[number] for number in sorted(found) if STRETCHES in found[number][2]]


def find_value(session: Session, trial_id: int) -> float | None:
    """Returns a trial's score; None if it has none."""
    value = models.TrialValueModel
    score: float | None = session.scalar(select(value.value).where(value.trial_id == trial_id))
    return score


def find_distribution(session: Session, study_id: int, name: str) -> BaseDistribution | None:
    """Returns what a study has stored as a parameter's range or choices; None before it was sampled."""
    trial, param = models.TrialModel, models.TrialParamModel
    query = select(param.distribution_json).join(trial, trial.trial_id == param.trial_id)
    stored = session.scalar(query.where(trial.study_id == study_id, param.param_name == name).limit(1))
    return None if stored is None else json_to_distribution(stored)


def _select_rank(objective: Objective) -> list[Any]:
    """Returns `Objective.rank` as columns, and the number: the earlier one of equal trials is better."""
    score: Any = models.TrialValueModel.value
    return [-objective.merit(score), *map(_select_fact, TIEBREAKERS), models.TrialModel.number]


def _select_fact(key: str) -> Any:
    """Returns a number that is known of trials as a column; one that is not known is large."""
    fact = models.TrialUserAttributeModel
    value = select(fact.value_json).where(fact.trial_id == models.TrialModel.trial_id, fact.key == key)
    return func.coalesce(cast(value.scalar_subquery(), Float), LARGEST)


def _select_complete(query: Any, study_id: int) -> Any:
    """Restricts a query to a study's COMPLETE trials and their scores; one that was and is trained on counts, too."""
    trial, value = models.TrialModel, models.TrialValueModel
    joined = query.select_from(trial).join(value, value.trial_id == trial.trial_id)
    return joined.where(trial.study_id == study_id, trial.state.in_((TrialState.COMPLETE, TrialState.RUNNING)))
