"""Samplers by their Optuna names, made anew for each trial: a resumed search draws what an uninterrupted one would."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from searchcnn.errors import StudyFileError
from searchcnn.search.components import make
from searchcnn.search.seeds import Stream, derive_seed
from searchcnn.study import ComponentConfig

PRESET = "preset"
"""User attribute of trials whose hyperparameters are given."""

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    # Search spaces are conditional: group=True models each group of parameters that occur together jointly.
    "TPESampler": {"group": True},
}


class SeededSampler(BaseSampler):
    """Gives each trial a fresh sampler, seeded by the study's seed and the trial's number.

    A sampler that lives as long as its process replays its draws when the process is started again.

    Attributes:
        exhausted: Whether every point of a finite space has been tried (grid search only).
    """

    def __init__(self, fresh: Callable[[int], BaseSampler], study_seed: int) -> None:
        self._fresh = fresh
        self._study_seed = study_seed
        self._sampler = fresh(0)
        self._given: dict[str, Any] = {}
        self.exhausted = False

    def give(self, name: str, value: Any) -> None:
        """Makes a parameter of the current trial take a given value."""
        self._given[name] = value

    def before_search(self, study: Study) -> None:
        """Finds out whether earlier runs have tried every point of a finite space."""
        trials = study.get_trials(deepcopy=False)
        if trials and all(trial.state.is_finished() for trial in trials):
            last = trials[-1]
            if isinstance(self._sampler, optuna.samplers.BruteForceSampler):
                self.after_trial(study, last, last.state, last.values)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Makes the trial's sampler."""
        self._sampler = self._fresh(derive_seed(self._study_seed, trial.number, Stream.SAMPLER))
        self._given = {}
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns the parameters to sample together; none where the trial's values are given."""
        return {} if PRESET in trial.user_attrs else self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Samples the parameters of `infer_relative_search_space`."""
        return self._sampler.sample_relative(study, trial, search_space) if search_space else {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Samples one parameter, or returns its given value."""
        if param_name in self._given:
            return self._given[param_name]
        _check_finite(self._sampler, param_name, param_distribution)
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Lets the trial's sampler finish."""
        try:
            self._sampler.after_trial(study, trial, state, values)
        except RuntimeError as error:
            # A sampler that has tried everything calls study.stop(), which is for Optuna's own loop only.
            if "stop" not in str(error).lower():
                raise
            self.exhausted = True


def make_sampler(config: ComponentConfig, study_seed: int) -> SeededSampler:
    """Makes a sampler from its Optuna name; ``grid`` tries every point of a finite space, conditional ones too.

    Raises:
        StudyFileError: If there is no such sampler, or it does not take the arguments.
    """
    name = "BruteForceSampler" if config.name == "grid" else config.name
    options = {**DEFAULTS.get(name, {}), **config.options}

    def fresh(seed: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler: BaseSampler = make(
                optuna.samplers, BaseSampler, "search.sampler", name, {**options, "seed": seed}, also=("grid",)
            )
        return sampler

    return SeededSampler(fresh, study_seed)


def _check_finite(sampler: BaseSampler, name: str, distribution: BaseDistribution) -> None:
    infinite = isinstance(distribution, FloatDistribution) and distribution.step is None and not distribution.single()
    if infinite and isinstance(sampler, optuna.samplers.BruteForceSampler):
        raise StudyFileError(
            f"search.sampler: grid needs a finite space, but '{name}' is a continuous range; "
            "give it a `step` or a list of values, or use another sampler"
        )
