"""Checks that a search space has the same hyperparameters in each build."""

import contextlib

import keras

from searchcnn.errors import PluginError
from searchcnn.search.hyperparameters import CheckedHyperParameters, check_ranges
from searchcnn.training.trainer import Trainer, kept_settings


def check_stability(trainer: Trainer, name: str) -> None:
    """Builds the default network of a search space twice: a hyperparameter must have the same range in both.

    It is built without weights, which takes little time; a builder that needs them is not checked.

    Raises:
        PluginError: If one has not.
    """
    values = {"space": name} if len(trainer.spaces) > 1 else {}
    builds = [CheckedHyperParameters(values) for _ in range(2)]
    for hp in builds:
        with kept_settings(), contextlib.suppress(Exception), keras.StatelessScope(initialize_variables=False):
            trainer.sample(hp)
    try:
        check_ranges(*builds)
    except PluginError as error:
        raise PluginError(f"search space '{name}': {error}") from error
