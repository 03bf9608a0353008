"""A new sampler for each trial: a resumed search draws what an uninterrupted one would."""

from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from searchcnn.errors import StudyFileError
from searchcnn.search.seeds import Stream, derive_seed
from searchcnn.store import EXHAUSTED

PRESET = "preset"
"""User attribute of trials whose hyperparameters are preset."""


class SeededSampler(BaseSampler):
    """Gives each trial a new sampler, seeded by the study's seed and the trial's number.

    A sampler that lives as long as its process replays its draws when the process is started again.

    Values that are given rather than sampled pass through it as well: `preset` is told them, and when Optuna asks for
    the parameter, it answers with them instead of asking the trial's sampler. So Optuna stores them as all others.

    Args:
        make: Makes a sampler from a seed.
        study_seed: The study's seed.

    Attributes:
        exhausted: Whether every point of a finite space has been tried (grid search only).
    """

    def __init__(self, make: Callable[[int], BaseSampler], study_seed: int) -> None:
        self._make = make
        self._study_seed = study_seed
        self._sampler = make(0)
        self._presets: dict[str, Any] = {}
        self.exhausted = False

    def set_preset(self, name: str, value: Any) -> None:
        """Sets what `sample_independent` answers for a parameter of the current trial, as Optuna stores it."""
        self._presets[name] = value

    def before_search(self, study: Study) -> None:
        """Finds out whether earlier runs have tried every point of a finite space, which may be another one now."""
        trials = study.get_trials(deepcopy=False)
        if trials and all(trial.state.is_finished() for trial in trials):
            last = trials[-1]
            if isinstance(self._sampler, optuna.samplers.BruteForceSampler):
                self.after_trial(study, last, last.state, last.values)
        if study.user_attrs.get(EXHAUSTED, False) != self.exhausted:
            study.set_user_attr(EXHAUSTED, self.exhausted)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Makes the trial's sampler."""
        self._sampler = self._make(derive_seed(self._study_seed, trial.number, Stream.SAMPLER))
        self._presets = {}
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Returns the parameters to sample together; none where the trial's values are preset."""
        return {} if PRESET in trial.user_attrs else self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Samples the parameters of `infer_relative_search_space`."""
        return self._sampler.sample_relative(study, trial, search_space) if search_space else {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Samples one parameter, or returns its preset value."""
        if param_name in self._presets:
            return self._presets[param_name]
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
            study.set_user_attr(EXHAUSTED, True)  # for readers: a larger budget brings nothing


def _check_finite(sampler: BaseSampler, name: str, distribution: BaseDistribution) -> None:
    infinite = isinstance(distribution, FloatDistribution) and distribution.step is None and not distribution.single()
    if infinite and isinstance(sampler, optuna.samplers.BruteForceSampler):
        raise StudyFileError(
            f"search.sampler: grid needs a finite space, but '{name}' is a continuous range; "
            "give it a `step` or a list of values, or use another sampler"
        )
