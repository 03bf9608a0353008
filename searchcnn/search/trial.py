"""A trial at work: what an evaluator sees of the search."""

import threading
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from searchcnn.events import (
    Epoch,
    EpochFinished,
    EpochProgressed,
    Hear,
    NetworkBuilt,
    Outcome,
    TrialDescribed,
    TrialFinished,
)
from searchcnn.search.budget import Budget
from searchcnn.search.samplers import PRESET, SeededSampler
from searchcnn.search.seeds import Stream, derive_seed
from searchcnn.store import StoredStudy


class TrialPrunedError(Exception):
    """The pruner ended the trial."""


class InterruptedTrialError(Exception):
    """The user stopped the search; the trial is resumed when the search is."""


class OutOfTimeError(Exception):
    """The study's time was over before the next epoch could begin."""


class Trial:
    """One trial, from the first sampled value to its last epoch.

    Attributes:
        number: The trial's number in its study, from 0.
        seed: Seed of the weights, the order of the images and everything else random in training.
        budget: When to stop.
        preset: Hyperparameters that are fixed beforehand rather than sampled.
        origin: Where they come from, for readers.
        facts: What is known about it, for readers.
        best: Best score so far; None before the first epoch.
        hear: Hears what happens.
    """

    def __init__(
        self,
        stored: optuna.Trial,
        study: StoredStudy,
        sampler: SeededSampler,
        study_seed: int,
        budget: Budget,
        hear: Hear,
        stop: threading.Event,
    ) -> None:
        self.number: int = stored.number
        self.seed = derive_seed(study_seed, stored.number, Stream.TRAINING)
        self.budget = budget
        self.preset: Mapping[str, Any] = stored.user_attrs.get(PRESET, {})
        self.origin: str = stored.user_attrs.get("origin", "")
        self.facts: dict[str, Any] = {}
        self.best: float | None = None
        self.stored = stored
        self._study = study
        self._sampler = sampler
        self.hear = hear
        self._news: dict[str, Any] = {}
        self._stop = stop

    def suggest(self, name: str, distribution: BaseDistribution, preset: Any = None) -> Any:
        """Returns the trial's value of a parameter.

        A preset value is not returned at once: the sampler is told it, then Optuna is asked for the parameter and asks
        the sampler, which hands the value back. So Optuna stores it, its range included, as if it were sampled.

        Args:
            name: The parameter, as Optuna stores it.
            distribution: Its range or choices; a name must have one kind throughout a study.
            preset: A value to take instead of sampling one; None to sample.
        """
        if preset is not None:
            self._sampler.set_preset(name, preset)
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
        """Stores facts about the trial for readers, together with what is written next."""
        self.facts.update(facts)
        self._news.update(facts)
        for key, fact in facts.items():
            self.stored.set_user_attr(key, fact)

    def describe(self, **facts: Any) -> None:
        """Stores facts about the trial for readers, and makes everything sampled so far durable."""
        self._describe(TrialDescribed, facts)

    def describe_network(self, **facts: Any) -> None:
        """Does what `describe` does, with facts about the network that will be trained: see `NetworkBuilt`."""
        self._describe(NetworkBuilt, facts)

    def _describe(self, kind: type[TrialDescribed], facts: Mapping[str, Any]) -> None:
        self.note(**facts)
        self._study.flush(self.stored)
        self._hear_news(kind)

    def _hear_news(self, kind: type[TrialDescribed] = TrialDescribed) -> None:
        news, self._news = self._news, {}
        if news:
            self.hear(kind(self.number, news))

    def report(self, epoch: Epoch, score: float) -> bool:
        """Reports an epoch.

        Args:
            epoch: Its metrics.
            score: Its value of the study's metric.

        Returns:
            Whether the pruner lets the trial continue.
        """
        self.best = score if self.best is None else self._study.objective.choose_best([self.best, score])
        self._study.add_epoch(self.stored, epoch, self.best)
        self.hear(EpochFinished(self.number, epoch, self.best))
        return not self._study.should_prune(self.stored)

    def end(self, outcome: Outcome, is_best: bool) -> None:
        """Reports how the trial has ended, and news that were not reported yet."""
        self._hear_news()
        self.hear(TrialFinished(self.number, outcome, self.best, is_best))

    def restart(self) -> None:
        """Takes back what was reported: the trial is trained again, in another way."""
        self.best = None
        self._study.restart(self.stored)

    def report_progress(self, epoch: int, fraction: float) -> None:
        """Reports which fraction of an epoch is done, 0..1."""
        self.hear(EpochProgressed(self.number, epoch, fraction))

    def check(self, fraction: float) -> None:
        """Shows progress before the first epoch.

        Args:
            fraction: The fraction that is done, 0..1.

        Raises:
            InterruptedTrialError: If the user wants the search to stop.
            OutOfTimeError: If the study's time is over.
        """
        self.report_progress(0, fraction)
        if self.is_interrupted:
            raise InterruptedTrialError
        if self.budget.count_seconds_left() <= 0:
            raise OutOfTimeError

    @property
    def is_interrupted(self) -> bool:
        """Whether the user wants the search to stop."""
        return self._stop.is_set()
