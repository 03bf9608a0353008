"""The private names of Optuna that are imported: no other module does so."""

import optuna
from optuna._typing import JSONSerializable
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb import models

__all__ = ["JSONSerializable", "_CachedStorage", "models", "study_id", "trial_id"]


def study_id(study: optuna.Study) -> int:
    """Returns a study's key in Optuna's tables."""
    return study._study_id


def trial_id(trial: optuna.Trial) -> int:
    """Returns a trial's key in Optuna's tables."""
    return trial._trial_id
