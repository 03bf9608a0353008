"""A trial at work: what an evaluator sees of the search."""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeAlias

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from searchcnn.events import (
    Epoch,
    EpochFinished,
    EpochProgressed,
    EpochsRecalled,
    Hear,
    NetworkBuilt,
    Outcome,
    TrialDescribed,
    TrialFinished,
)
from searchcnn.search.budget import Budget
from searchcnn.search.duplicates import find_near
from searchcnn.search.limits import Cost
from searchcnn.search.samplers import PRESET, SeededSampler
from searchcnn.search.seeds import Stream, derive_seed
from searchcnn.store import LAST, PACE, SCORES, SETUP, SPENT, STRETCHES, Spent, StoredStudy

Check: TypeAlias = Callable[[Cost, str], None]
"""Checks a network of a search space."""


DUPLICATE = "nearly trial"
"""How a trial ends that is nearly another one."""


class TrialPrunedError(Exception):
    """The pruner ended the trial."""


class DuplicateTrialError(Exception):
    """Nearly the same was trained before.

    Args:
        trial: The number of the trial that has its result.
    """

    def __init__(self, trial: int) -> None:
        super().__init__(f"{DUPLICATE} {trial}")


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
        stretches: Epochs of each of the stretches that a plan trains it in, the one ahead included; none where it is
            trained all at once.
        scores: Its best score at the end of each stretch so far.
        is_last: Whether the stretch ahead is meant to be the last one.
        is_resumed: Whether it is trained on after a stretch.
        max_pace: Seconds of an epoch beyond which its training is given up.
        spent: Seconds by activity, for readers: building, tracing, training, validating, saving.
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
        is_resumed: bool = False,
    ) -> None:
        self.number: int = stored.number
        self.seed = derive_seed(study_seed, stored.number, Stream.TRAINING)
        self.budget = budget
        self.preset: Mapping[str, Any] = stored.user_attrs.get(PRESET, {})
        self.origin: str = stored.user_attrs.get("origin", "")
        self.facts: dict[str, Any] = {}
        self.best: float | None = None
        self.stretches: tuple[int, ...] = tuple(stored.user_attrs.get(STRETCHES, ()))
        self.scores: tuple[float, ...] = tuple(stored.user_attrs.get(SCORES, ()))
        self.is_last = bool(stored.user_attrs.get(LAST))
        self.is_resumed = is_resumed
        self.spent = Spent(stored.user_attrs.get(SPENT, {}), budget.clock)
        self.max_pace = math.inf
        self._check_cost: Check | None = None
        self.stored = stored
        self._study = study
        self._sampler = sampler
        self.hear = hear
        self._news: dict[str, Any] = {}
        self._stop = stop
        self._began = budget.clock()

    @property
    def stores_indices(self) -> bool:
        """Whether Optuna has the index of a value on a logarithmic scale with steps; see `searchcnn.study.rules`."""
        return self._study.rules.indices_are_stored

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
            Whether the pruner lets the trial continue; a stretch is trained to its end.
        """
        self.best = self._choose_best(score)
        self._study.add_epoch(self.stored, epoch, self.best)
        self.hear(EpochFinished(self.number, epoch, self.best))
        return self._goes_on()

    def recall(self, epochs: Sequence[tuple[Epoch, float]]) -> bool:
        """Tells of epochs that were trained before; those of a trial that is taken over are stored anew.

        Args:
            epochs: At least one, each with its score.

        Returns:
            As `report` does.
        """
        for epoch, score in epochs:
            self.best = self._choose_best(score)
            if not self.is_resumed:
                self._study.add_epoch(self.stored, epoch, self.best)
        assert self.best is not None
        self.hear(EpochsRecalled(self.number, [epoch for epoch, _ in epochs], self.best))
        return self._goes_on()

    def _choose_best(self, score: float) -> float:
        return score if self.best is None else self._study.objective.choose_best([self.best, score])

    def _goes_on(self) -> bool:
        return bool(self.stretches) or not self._study.should_prune(self.stored)

    def plan(self, stretches: tuple[int, ...], check_cost: Check | None = None, max_pace: float = math.inf) -> Self:
        """Plans how a new trial is trained.

        Args:
            stretches: Epochs of each stretch.
            check_cost: Checks that the time is enough for a network; see `Scheduler.check_cost`.
            max_pace: Seconds of an epoch beyond which it is not.
        """
        self.stretches, self._check_cost, self.max_pace = stretches, check_cost, max_pace
        return self

    def check_new(self, hyperparameters: Mapping[str, Any]) -> None:
        """Checks that a trial of a plan is not nearly one that was had; the sampler learns what that one has reached.

        Args:
            hyperparameters: By name, the search space's included.

        Raises:
            DuplicateTrialError: If it is.
        """
        if self.preset or self.scores or not self.stretches:
            return
        earlier = (trial for trial in self._study.list_trials() if trial.number < self.number)
        trained = [trial for trial in earlier if trial.user_attrs.get(SCORES) and trial.intermediate_values]
        if near := find_near(hyperparameters, trained):
            last = max(near.intermediate_values)
            self.stored.report(near.intermediate_values[last], last)
            raise DuplicateTrialError(near.number)

    def check_cost(self, cost: Cost, space: str) -> None:
        """Checks that the time is enough for a network; see `searchcnn.search.Scheduler.check_cost`.

        Raises:
            InfeasibleError: If it is not.
        """
        if self.stretches and self._check_cost:
            self._check_cost(cost, space)

    def train_whole(self) -> None:
        """Takes note that the trial is trained all at once, plan or not."""
        self.stretches, self.scores = (), ()

    @property
    def is_waiting(self) -> bool:
        """Whether it waits to be trained on, now that a stretch has ended."""
        return bool(self.stretches) and not self.is_last

    def end_stretch_at(self, epochs: int) -> None:
        """Takes note of the number of epochs, all stretches together, after which a stretch has ended.

        The last one has fewer than were planned where the machine has become slower.
        """
        before = self.stretches[: len(self.scores)]
        if epochs < sum(self.stretches[: len(self.scores) + 1]):
            self.stretches = (*before, epochs - sum(before))
            self.note(**{STRETCHES: list(self.stretches)})

    def end_stretch(self, score: float) -> None:
        """Takes note of the score at the end of a stretch, and of what it took besides its epochs."""
        training = self.facts.get(PACE, 0.0) * self.stretches[len(self.scores)]
        setup = max(0.0, self.budget.clock() - self._began - training) if training else 0.0
        self.scores = (*self.scores, score)
        self.note(**{SCORES: list(self.scores), SETUP: round(setup, 2)})

    def end(self, outcome: Outcome, is_best: bool) -> None:
        """Reports how the trial has ended, and news that were not reported yet."""
        self._hear_news()
        self.hear(TrialFinished(self.number, outcome, self.best, is_best))

    def restart(self) -> None:
        """Takes back what was reported: the trial is trained again, in another way."""
        self.best = None
        self.stored = self._study.restart(self.stored)

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
