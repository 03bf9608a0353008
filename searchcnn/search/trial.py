"""A trial at work: what an evaluator sees of the search."""

import threading
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from searchcnn.search.budget import Budget
from searchcnn.search.listener import Listener
from searchcnn.search.samplers import PRESET, SeededSampler
from searchcnn.search.seeds import Stream, derive
from searchcnn.store import Epoch, StoredStudy


class TrialPrunedError(Exception):
    """The pruner ended the trial."""


class InterruptedTrialError(Exception):
    """The user stopped the search; the trial goes on when it continues."""


class OutOfTimeError(Exception):
    """The study's time is over before the next epoch could begin."""


class Trial:
    """One trial, from the first sampled value to its last epoch.

    Attributes:
        number: The trial's number in its study, from 0.
        seed: Seed of the weights, the order of the images and everything else random in training.
        budget: When to stop.
        preset: Hyperparameters that are given rather than sampled.
        best: Best score so far; None before the first epoch.
    """

    def __init__(
        self,
        stored: optuna.Trial,
        study: StoredStudy,
        sampler: SeededSampler,
        study_seed: int,
        budget: Budget,
        listener: Listener,
        stop: threading.Event,
    ) -> None:
        self.number: int = stored.number
        self.seed = derive(study_seed, stored.number, Stream.TRAINING)
        self.budget = budget
        self.preset: Mapping[str, Any] = stored.user_attrs.get(PRESET, {})
        self.origin: str = stored.user_attrs.get("origin", "")
        self.facts: dict[str, Any] = {}
        self.best: float | None = None
        self.stored = stored
        self._study = study
        self._sampler = sampler
        self._listener = listener
        self._stop = stop

    def suggest(self, name: str, distribution: BaseDistribution, given: Any = None) -> Any:
        """Returns the trial's value of a parameter.

        Args:
            name: The parameter, as Optuna stores it.
            distribution: Its range or choices; a name must have one kind throughout a study.
            given: A value to take instead of sampling one.
        """
        if given is not None:
            self._sampler.give(name, given)
        if isinstance(distribution, IntDistribution):
            low, high = distribution.low, distribution.high
            return self.stored.suggest_int(name, low, high, step=distribution.step, log=distribution.log)
        if isinstance(distribution, FloatDistribution):
            return self.stored.suggest_float(
                name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
            )
        assert isinstance(distribution, CategoricalDistribution)
        return self.stored.suggest_categorical(name, distribution.choices)

    def note(self, **facts: Any) -> None:
        """Keeps facts about the trial for readers, at the next occasion."""
        self.facts.update(facts)
        for key, fact in facts.items():
            self.stored.set_user_attr(key, fact)

    def describe(self, **facts: Any) -> None:
        """Keeps facts about the trial for readers, and makes everything sampled so far durable."""
        self.note(**facts)
        self._study.flush(self.stored)
        self._listener.trial_described(self)

    def report(self, epoch: Epoch, score: float) -> bool:
        """Reports an epoch.

        Args:
            epoch: Its metrics.
            score: Its value of the study's metric.

        Returns:
            Whether the pruner lets the trial go on.
        """
        self.best = score if self.best is None else self._study.objective.best([self.best, score])
        self._study.add_epoch(self.stored, epoch, self.best)
        self._listener.epoch_finished(self, epoch)
        return not self._study.should_prune(self.stored)

    def say(self, text: str) -> None:
        """Tells the listener something about the trial that the user should know."""
        self._listener.noted(text)

    def begin_again(self) -> None:
        """Takes back what was reported: the trial is trained once more, in another way."""
        self.best = None
        self._study.begin_again(self.stored)

    def progress(self, epoch: int, fraction: float) -> None:
        """Tells the listener how far an epoch is, from 0 to 1."""
        self._listener.epoch_progressed(self, epoch, fraction)

    def check(self, fraction: float) -> None:
        """Shows progress before the first epoch.

        Args:
            fraction: The part that is done, 0..1.

        Raises:
            InterruptedTrialError: If the user wants the search to stop.
            OutOfTimeError: If the study's time is over.
        """
        self.progress(0, fraction)
        if self.is_interrupted:
            raise InterruptedTrialError
        if self.budget.seconds_left() <= 0:
            raise OutOfTimeError

    @property
    def is_interrupted(self) -> bool:
        """Whether the user wants the search to stop."""
        return self._stop.is_set()
