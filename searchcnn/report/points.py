"""The points of one search space as an Optuna study, for Optuna's analyses: what matters, and which values are good."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from searchcnn.events import Epoch
from searchcnn.report.contents import Contents
from searchcnn.store import TrialSummary

LEAST = 8
"""Number of trained networks of which the analyses begin to say something."""
LOG_RATIO = 10
"""A hyperparameter whose largest value is that many times its smallest is shown on a logarithmic scale."""


@dataclass(frozen=True)
class Points:
    """What was tried of a search space.

    Attributes:
        space: Its name.
        epochs: After how many epochs the networks are compared.
        study: The networks that were trained for so long, with the hyperparameters as their builder got them.
        importances: How much of the difference between good and bad ones each hyperparameter explains, the largest
            first (PED-ANOVA, Watanabe et al. 2023).
    """

    space: str
    epochs: int
    study: optuna.Study
    importances: Mapping[str, float]


def compare_points(contents: Contents) -> list[Points]:
    """Returns the points of each search space of which enough were trained, those with the most first.

    Networks that were stopped early are as telling as the others. All are compared by their scores after the same
    number of epochs: the largest that half of them have reached.
    """
    spaces: dict[str, list[TrialSummary]] = {}
    for trial in contents.trained:
        spaces.setdefault(trial.space, []).append(trial)
    ranked = sorted(spaces.items(), key=lambda item: -len(item[1]))
    found = (_compare(space, trials, contents) for space, trials in ranked if len(trials) >= LEAST)
    return [points for points in found if points is not None]


def _compare(space: str, trials: Sequence[TrialSummary], contents: Contents) -> Points | None:
    lengths = sorted((trial.epochs for trial in trials), reverse=True)
    epochs = lengths[max(LEAST, len(lengths) // 2) - 1]
    scores = {
        trial.number: _read_score(contents.curves.get(trial.number, ()), epochs, contents.metric) for trial in trials
    }
    kept = [trial for trial in trials if trial.epochs >= epochs and scores[trial.number] is not None]
    distributions = _find_distributions([trial.hyperparameters for trial in kept])
    values = [scores[trial.number] for trial in kept]
    if len(kept) < LEAST or len(set(values)) < 2 or not distributions:
        return None
    with _silence_optuna():
        study = optuna.create_study(direction=contents.summary.config.objective.direction)
    study.add_trials([_make_trial(trial, scores[trial.number], distributions) for trial in kept])
    return Points(space, epochs, study, _measure_importances(study, list(distributions)))


def _read_score(epochs: Sequence[Epoch], number: int, metric: str) -> float | None:
    """Returns the last score up to an epoch: not after each of them is validated."""
    scores = [epoch.metrics[metric] for epoch in epochs if epoch.number <= number and metric in epoch.metrics]
    return scores[-1] if scores else None


def _find_distributions(points: Sequence[Mapping[str, Any]]) -> dict[str, BaseDistribution]:
    """Returns the range of each hyperparameter that has several values."""
    values: dict[str, list[Any]] = {}
    for point in points:
        for name, value in point.items():
            if value not in values.setdefault(name, []):
                values[name].append(value)
    return {name: _find_distribution(found) for name, found in values.items() if len(found) > 1}


def _find_distribution(values: Sequence[Any]) -> BaseDistribution:
    if any(isinstance(value, bool | str) or value is None for value in values):
        return CategoricalDistribution(sorted(values, key=str))
    low, high = min(values), max(values)
    log = low > 0 and high >= LOG_RATIO * low
    if all(isinstance(value, int) for value in values):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)


def _make_trial(
    trial: TrialSummary, score: float | None, distributions: Mapping[str, BaseDistribution]
) -> optuna.trial.FrozenTrial:
    params = {name: value for name, value in trial.hyperparameters.items() if name in distributions}
    ranges = {name: distributions[name] for name in params}
    return optuna.create_trial(value=score, params=params, distributions=ranges)


@contextlib.contextmanager
def _silence_optuna() -> Iterator[None]:
    """Does not tell of a study that is in memory only."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _measure_importances(study: optuna.Study, names: list[str]) -> dict[str, float]:
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the evaluator is called experimental
        return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(), params=names)
