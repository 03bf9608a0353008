"""A sampler that changes good points."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial

POPULATION, CONTENDERS = 20, 5
"""The last trials of which one is changed, and how many of them are drawn: the best of these is it."""


class Mutation(BaseSampler):
    """Changes one hyperparameter of a good trial: regularised evolution (Real et al. 2019, arXiv:1802.01548).

    Args:
        seed: Of all that is drawn for one trial.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, name: str, distribution: Any) -> Any:
        random = np.random.default_rng(self._seed)
        parent = self._draw_parent(study, random)
        if name in parent and name != random.choice(sorted(parent)):
            return parent[name]
        fresh = RandomSampler(int(np.random.default_rng([self._seed, *name.encode()]).integers(2**31)))
        return fresh.sample_independent(study, trial, name, distribution)

    def _draw_parent(self, study: optuna.Study, random: np.random.Generator) -> dict[str, Any]:
        """Returns the point of the best of a few of the last trials; none before there are enough."""
        trials = [trial for trial in study.get_trials(deepcopy=False) if trial.intermediate_values][-POPULATION:]
        if len(trials) < CONTENDERS:
            return {}
        contenders = [trials[place] for place in random.permutation(len(trials))[:CONTENDERS]]
        parent = max(contenders, key=lambda trial: max(trial.intermediate_values.values()))
        return dict(parent.params)
