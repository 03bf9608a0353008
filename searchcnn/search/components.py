"""Samplers and pruners by their Optuna names."""

import contextlib
import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, create_trial

from searchcnn.errors import StudyFileError, nearest
from searchcnn.search.samplers import SeededSampler
from searchcnn.study import ComponentConfig

SAMPLER_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    # Search spaces are conditional: group=True models each group of parameters that occur together jointly.
    "TPESampler": {"group": True},
}

REDUCTION = 3
"""Successive halving keeps the best third at each rung (arXiv:1810.05934 uses 3 or 4)."""
STARTUP = 20
"""More trials than Optuna's samplers and pruners wait for by default before they do their work; most wait for 10."""
RANGES: dict[str, BaseDistribution] = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}
"""Parameters that every sampler can propose; some leave a single one to another sampler."""
REHEARSED = 10
"""Epochs of a trial by which pruners have something to compare."""


def make_sampler(config: ComponentConfig, study_seed: int) -> SeededSampler:
    """Makes a sampler from its Optuna name; ``grid`` tries every point of a finite space, conditional ones too.

    Raises:
        StudyFileError: If there is no such sampler, it does not take the arguments, or it needs a package that is not
            installed.
    """
    name = "BruteForceSampler" if config.name == "grid" else config.name
    options = {**SAMPLER_DEFAULTS.get(name, {}), **config.options}

    def make(seed: int) -> BaseSampler:
        sampler: BaseSampler = _make_component(
            optuna.samplers, BaseSampler, "search.sampler", name, {**options, "seed": seed}, also=("grid",)
        )
        return sampler

    with _explain_missing("search.sampler", name):
        _rehearse(options, sampler=make(0))
    return SeededSampler(make, study_seed)


def make_pruner(config: ComponentConfig, epochs: int) -> BasePruner:
    """Makes a pruner from its Optuna name; successive halving gets rungs that fit the number of epochs.

    Raises:
        StudyFileError: If there is no such pruner, it does not take the arguments, or it needs a package that is not
            installed.
    """
    name = "SuccessiveHalvingPruner" if config.name == "auto" else config.name
    options = {**_choose_pruner_defaults(name, epochs), **config.options}
    pruner: BasePruner = _make_component(optuna.pruners, BasePruner, "search.pruner", name, options, also=("auto",))
    with _explain_missing("search.pruner", name):
        _rehearse(options, pruner=pruner)
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
        StudyFileError: If there is no such class, it does not take the arguments, or a package is not installed.
    """
    names = [n for n, c in vars(module).items() if inspect.isclass(c) and issubclass(c, base) and c is not base]
    if name not in names:
        hint = nearest(name, names) or f"; known: {', '.join([*also, *names])}"
        raise StudyFileError(f"{key}: no '{name}'{hint}")
    kind = getattr(module, name)
    if "seed" not in inspect.signature(kind).parameters:
        options = {key: value for key, value in options.items() if key != "seed"}
    try:
        with warnings.catch_warnings(), _explain_missing(key, name):
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return kind(**options)
    except (TypeError, ValueError) as error:
        raise StudyFileError(f"{key}: cannot create {name}: {error}") from None


def _rehearse(options: Mapping[str, Any], **component: Any) -> None:
    """Has a sampler or a pruner do its work once, in memory: Optuna imports what it needs for it only then.

    What else is wrong with it is not looked for: this study is not the one that it was made for.

    Args:
        options: Its arguments.
        component: It, as an argument of a study.

    Raises:
        ImportError: If a package that it needs is not installed.
    """
    startup = options.get("n_startup_trials")
    count = max(STARTUP, startup + 1 if isinstance(startup, int) else 0)
    with _quiet():
        study = optuna.create_study(**{"sampler": optuna.samplers.RandomSampler(0), **component})
        study.add_trials(_make_trial((number + 1) / count) for number in range(count))
        try:
            trial = study.ask(RANGES)
            for epoch in range(REHEARSED):
                trial.report(0.0, epoch)
                trial.should_prune()
        except ImportError:
            raise
        except Exception:  # it says nothing of the study that is searched
            return


def _make_trial(value: float) -> FrozenTrial:
    """Returns a trial that has ended, with its value, 0..1, as its point and as its score after each epoch."""
    scores = dict.fromkeys(range(REHEARSED), value)
    point = dict.fromkeys(RANGES, value)
    return create_trial(value=value, params=point, distributions=RANGES, intermediate_values=scores)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Holds back what Optuna tells of a study that is none of the user's."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


@contextlib.contextmanager
def _explain_missing(key: str, name: str) -> Iterator[None]:
    """Says which package is missed.

    Raises:
        StudyFileError: If one is.
    """
    try:
        yield
    except ImportError as error:
        cause = error if error.name else error.__cause__
        package = (getattr(cause, "name", None) or "").partition(".")[0]
        if not package:
            raise StudyFileError(f"{key}: cannot use {name}: {error}") from None
        raise StudyFileError(
            f"{key}: {name} needs the package '{package}', which is not installed; pip install {package}, or choose "
            "another"
        ) from None
