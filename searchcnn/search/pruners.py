"""Pruners by their Optuna names."""

import warnings
from typing import Any

import optuna
from optuna.pruners import BasePruner

from searchcnn.search.components import make
from searchcnn.study import ComponentConfig

REDUCTION = 3
"""Successive halving keeps the best third at each rung (arXiv:1810.05934 uses 3 or 4)."""


def make_pruner(config: ComponentConfig, epochs: int) -> BasePruner:
    """Makes a pruner; successive halving gets rungs that fit the number of epochs.

    Raises:
        StudyFileError: If there is no such pruner, or it does not take the arguments.
    """
    options = {**_defaults(config.name, epochs), **config.options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        pruner: BasePruner = make(optuna.pruners, BasePruner, "search.pruner", config.name, options)
    return pruner


def _defaults(name: str, epochs: int) -> dict[str, Any]:
    if name != "SuccessiveHalvingPruner":
        return {}
    # Rungs from epochs/9 on, each three times the last. A fixed number, never Optuna's "auto", which depends on what
    # the process has seen.
    return {"min_resource": max(1, epochs // REDUCTION**2), "reduction_factor": REDUCTION}
