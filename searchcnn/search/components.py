"""Samplers and pruners by their Optuna names."""

import inspect
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from searchcnn.errors import StudyFileError, nearest
from searchcnn.search.samplers import SeededSampler
from searchcnn.study import ComponentConfig

SAMPLER_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    # Search spaces are conditional: group=True models each group of parameters that occur together jointly.
    "TPESampler": {"group": True},
}

REDUCTION = 3
"""Successive halving keeps the best third at each rung (arXiv:1810.05934 uses 3 or 4)."""


def make_sampler(config: ComponentConfig, study_seed: int) -> SeededSampler:
    """Makes a sampler from its Optuna name; ``grid`` tries every point of a finite space, conditional ones too.

    Raises:
        StudyFileError: If there is no such sampler, or it does not take the arguments.
    """
    name = "BruteForceSampler" if config.name == "grid" else config.name
    options = {**SAMPLER_DEFAULTS.get(name, {}), **config.options}

    def make(seed: int) -> BaseSampler:
        sampler: BaseSampler = _make_component(
            optuna.samplers, BaseSampler, "search.sampler", name, {**options, "seed": seed}, also=("grid",)
        )
        return sampler

    return SeededSampler(make, study_seed)


def make_pruner(config: ComponentConfig, epochs: int) -> BasePruner:
    """Makes a pruner from its Optuna name; successive halving gets rungs that fit the number of epochs.

    Raises:
        StudyFileError: If there is no such pruner, or it does not take the arguments.
    """
    name = "SuccessiveHalvingPruner" if config.name == "auto" else config.name
    options = {**_choose_pruner_defaults(name, epochs), **config.options}
    pruner: BasePruner = _make_component(optuna.pruners, BasePruner, "search.pruner", name, options, also=("auto",))
    return pruner


def _choose_pruner_defaults(name: str, epochs: int) -> dict[str, Any]:
    if name != "SuccessiveHalvingPruner":
        return {}
    # Rungs from epochs/9 on, each three times the last. A fixed number, never Optuna's "auto", which depends on what
    # the process has seen.
    return {"min_resource": max(1, epochs // REDUCTION**2), "reduction_factor": REDUCTION}


def _make_component(
    module: ModuleType, base: type[Any], key: str, name: str, options: Mapping[str, Any], also: Sequence[str] = ()
) -> Any:
    """Makes an object of the class ``name`` of one of Optuna's modules.

    Args:
        module: Where to look for the class.
        base: What the class must derive from.
        key: The study file's key, for messages.
        name: The class's name.
        options: Its arguments; ``seed`` is left out where the class takes none.
        also: Further names that a user may give, for messages.

    Raises:
        StudyFileError: If there is no such class, or it does not take the arguments.
    """
    names = [n for n, c in vars(module).items() if inspect.isclass(c) and issubclass(c, base) and c is not base]
    if name not in names:
        hint = nearest(name, names) or f"; known: {', '.join([*also, *names])}"
        raise StudyFileError(f"{key}: no '{name}'{hint}")
    kind = getattr(module, name)
    if "seed" not in inspect.signature(kind).parameters:
        options = {key: value for key, value in options.items() if key != "seed"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return kind(**options)
    except (TypeError, ValueError) as error:
        raise StudyFileError(f"{key}: cannot create {name}: {error}") from None
