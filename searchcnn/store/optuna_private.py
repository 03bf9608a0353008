"""The private names of Optuna that searchcnn depends on: no other module touches them."""

import optuna
from optuna._typing import JSONSerializable
from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial
from sqlalchemy.orm import Session

from searchcnn.backend import silence

__all__ = ["Cache", "HookedStorage", "JSONSerializable", "get_study_id", "get_trial_id", "models"]

silence("optuna")


class Cache(_CachedStorage):
    """Optuna's cache of a study's trials, in which one that has ended may be trained on."""

    def reopen(self, trial_id: int) -> None:
        """Reads a trial again that had ended, and is trained on now."""
        trial = self._backend.get_trial(trial_id)
        with self._lock:
            study_id, number = self._trial_id_to_study_id_and_number[trial_id]
            self._studies[study_id].trials[number] = trial
            self._studies[study_id].unfinished_trial_ids.add(trial_id)


class HookedStorage(RDBStorage):
    """Optuna's database storage with public methods for what only private ones decide there."""

    def store_param(
        self, trial_id: int, name: str, value: float, distribution: BaseDistribution, previous: BaseDistribution | None
    ) -> None:
        """Writes a trial's value of a parameter.

        Args:
            trial_id: The trial.
            name: The parameter.
            value: Its value as Optuna stores it.
            distribution: Its range or choices.
            previous: Those of the study's earlier trials, if Optuna's cache knows one.
        """
        super()._set_trial_param(trial_id, name, value, distribution, previous)

    def prepare_trial(self, study_id: int, template: FrozenTrial | None, session: Session) -> models.TrialModel:
        """Adds a trial to a study's, without committing it.

        Args:
            study_id: The study.
            template: What is known of it; None for a new one, which is RUNNING.
            session: Where it is added.
        """
        return super()._get_prepared_new_trial(study_id, template, session)

    def make_trial(self, row: models.TrialModel) -> FrozenTrial:
        """Returns a trial as all of Optuna's reads do that return whole trials, given its row."""
        return super()._build_frozen_trial_from_trial_model(row)

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        self.store_param(trial_id, param_name, param_value_internal, distribution, previous_distribution)

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Session
    ) -> models.TrialModel:
        return self.prepare_trial(study_id, template_trial, session)

    def _build_frozen_trial_from_trial_model(self, trial: models.TrialModel) -> FrozenTrial:
        return self.make_trial(trial)


def get_study_id(study: optuna.Study) -> int:
    """Returns a study's key in Optuna's tables."""
    return study._study_id


def get_trial_id(trial: optuna.Trial) -> int:
    """Returns a trial's key in Optuna's tables."""
    return trial._trial_id
