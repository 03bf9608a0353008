"""Queries about a study's trials, so that they need not all be read."""

from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import TrialState
from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from searchcnn.store.optuna_private import models
from searchcnn.study import Objective


def list_finished(session: Session, study_id: int) -> list[int]:
    """Returns the numbers of a study's trials that have ended, in whatever state."""
    trial, states = models.TrialModel, [state for state in TrialState if state.is_finished()]
    query = select(trial.number).where(trial.study_id == study_id, trial.state.in_(states))
    return list(session.scalars(query))


def count_before(session: Session, study_id: int, number: int, value: float, objective: Objective) -> int:
    """Returns the number of a study's COMPLETE trials that are better than one, or as good and earlier."""
    trial, score = models.TrialModel, models.TrialValueModel.value
    is_before = or_(_select_merit(objective) > objective.merit(value), and_(score == value, trial.number < number))
    return session.scalar(_select_complete(select(func.count()), study_id).where(is_before)) or 0


def list_best(session: Session, study_id: int, objective: Objective, count: int) -> list[int]:
    """Returns the numbers of a study's best COMPLETE trials, the best one first."""
    trial = models.TrialModel
    query = _select_complete(select(trial.number), study_id).order_by(_select_merit(objective).desc(), trial.number)
    return list(session.scalars(query.limit(count)))


def find_best_merit(session: Session, study_id: int, objective: Objective) -> float | None:
    """Returns the merit of the best of a study's COMPLETE trials, or None before the first."""
    best: float | None = session.scalar(_select_complete(select(func.max(_select_merit(objective))), study_id))
    return best


def find_distribution(session: Session, trial_id: int, name: str) -> BaseDistribution | None:
    """Returns what the study of a trial has stored as a parameter's range or choices; None before it was sampled."""
    trial, param = models.TrialModel, models.TrialParamModel
    study = select(trial.study_id).where(trial.trial_id == trial_id).scalar_subquery()
    query = select(param.distribution_json).join(trial, trial.trial_id == param.trial_id)
    stored = session.scalar(query.where(trial.study_id == study, param.param_name == name).limit(1))
    return None if stored is None else json_to_distribution(stored)


def _select_merit(objective: Objective) -> Any:
    """Returns the merit of trials by their scores, as a column; the best one has the largest."""
    score: Any = models.TrialValueModel.value
    return objective.merit(score)


def _select_complete(query: Any, study_id: int) -> Any:
    """Restricts a query to a study's COMPLETE trials and their scores."""
    trial, value = models.TrialModel, models.TrialValueModel
    joined = query.select_from(trial).join(value, value.trial_id == trial.trial_id)
    return joined.where(trial.study_id == study_id, trial.state == TrialState.COMPLETE)
