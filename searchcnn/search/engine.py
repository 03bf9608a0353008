"""The search itself: ask for a point, evaluate it, tell the result, until the budget is spent.

It knows nothing of Keras: what trains a network is injected.
"""

import contextlib
import math
import threading
import traceback
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import optuna
from optuna.trial import TrialState

from searchcnn import modules
from searchcnn.errors import InfeasibleError, StoreError, StudyFailedError, StudyFileError, get_first_line
from searchcnn.events import Hear, Note, Outcome, TrialStarted, ignore
from searchcnn.files import explain_refusal, is_full
from searchcnn.search.budget import Budget
from searchcnn.search.samplers import SeededSampler
from searchcnn.search.scheduler import FIRST, Done, Resume, Scheduler, Standing, Start
from searchcnn.search.standings import read_standings
from searchcnn.search.trial import DUPLICATE, DuplicateTrialError, InterruptedTrialError, Trial, TrialPrunedError
from searchcnn.store import (
    DATABASE_ERRORS,
    ENDED,
    LAST,
    SPENT,
    STRETCHES,
    LeaseLostError,
    NoTrialLeftError,
    StoredStudy,
)
from searchcnn.text import describe_endings

MAX_REPEATED = 20
"""Proposals in a row that are nearly trials that were had, after which a plan begins no more: there is nothing left to
find."""
WAITING = 1.0
"""Seconds until a process that has nothing to do looks again whether it has."""
HASTE = 1.5
"""Seconds of an epoch after which a training is given up, relative to those that the time is enough for: the first
batches may be slow."""


@dataclass(frozen=True)
class Evaluation:
    """What evaluating a trial gave.

    Attributes:
        value: Its score: the best value of the study's metric.
        network: A classifier, from raw pixels to class probabilities; handed to the engine's ``keep``.
        is_cut: Whether the study's timeout ended it early. It counts if it is the best all the same; otherwise it is
            told as PRUNED, because its score is not comparable.
        recipe: The settings of its training, those that were searched included, for readers.
    """

    value: float
    network: Any = None
    is_cut: bool = False
    recipe: Mapping[str, Any] = field(default_factory=dict)


class Evaluator(Protocol):
    """Trains one trial.

    Raises:
        InfeasibleError: If the point cannot be trained; the sampler learns from it.
        TrialPrunedError: If a report said not to go on.
        InterruptedTrialError: If the trial saw that it ``is_interrupted``.
    """

    def __call__(self, trial: Trial, /) -> Evaluation:
        """Evaluates a trial."""
        ...


class Keeper(Protocol):
    """Keeps what trials leave."""

    def save_if_ranked(self, trial: Trial, evaluation: Evaluation, /) -> None:
        """Saves the network of an evaluation that counts, if it is worth it; the database does not know of it yet."""
        ...

    def has_weights(self, trial: int) -> bool:
        """Whether a trial can be trained on from its weights, given its number."""
        ...

    def tidy(self, is_over: bool = False) -> None:
        """Deletes what nobody needs any more, now that the database knows of the last trial's end.

        Args:
            is_over: Whether the search is over: few of the trials that wait to be trained on will ever be.
        """
        ...


class _KeepNothing:
    """Keeps nothing."""

    def save_if_ranked(self, trial: Trial, evaluation: Evaluation, /) -> None:
        """Saves nothing."""

    def has_weights(self, trial: int) -> bool:
        """Whether a trial can be trained on: the evaluator knows how."""
        return True

    def tidy(self, is_over: bool = False) -> None:
        """Deletes nothing."""


class Search:
    """Works on a study until its budget is spent, it is interrupted, or it fails.

    Args:
        study: The study in its database.
        sampler: The study's sampler.
        evaluate: Trains a trial.
        budget: The study's totals.
        keeper: Keeps the networks; nothing is kept where it is None.
        max_failures: Unexpected failures in a row that end the search.
        seed: The study's seed.
        scheduler: The plan for the time; without one, each trial is trained all at once.
    """

    def __init__(
        self,
        study: StoredStudy,
        sampler: SeededSampler,
        evaluate: Evaluator,
        budget: Budget,
        keeper: Keeper | None = None,
        max_failures: int = 5,
        seed: int = 0,
        scheduler: Scheduler | None = None,
    ) -> None:
        self._study = study
        self._sampler = sampler
        self._evaluate = evaluate
        self._budget = budget
        self._seed = seed
        self._scheduler = scheduler
        self._max_failures = max_failures
        self._keeper = keeper or _KeepNothing()
        self._hear: Hear = ignore
        self._stop = threading.Event()
        self._failures = self._repeated = 0
        self._is_told = False

    def run(self, hear: Hear = ignore, stop: threading.Event | None = None) -> None:
        """Works on trials one after the other.

        Args:
            hear: Hears what happens.
            stop: Set it to end the search in good order.

        Raises:
            StudyFailedError: If too many trials failed in a row; what was finished is safe.
        """
        self._hear, self._stop = hear, stop or self._stop
        self._sampler.before_search(self._study.optuna)
        while not self._is_over():
            trial = self._start_trial()
            if trial is None:
                return
            self._hear(TrialStarted(trial.number, trial.origin))
            try:
                self._work_on(trial)
            except InterruptedTrialError:
                return
            except LeaseLostError:
                continue  # another run took the trial over while this process slept
            if self._failures >= self._max_failures:
                raise StudyFailedError(self._describe_failures())

    def _is_over(self) -> bool:
        if self._scheduler is not None:  # it knows when there is nothing left to train on
            return self._budget.count_seconds_left() <= 0 or self._stop.is_set()
        spent = self._budget.is_spent(self._study.count_finished())
        return spent or self._stop.is_set() or self._sampler.exhausted or self._is_wasted()

    def _is_wasted(self) -> bool:
        """Whether too many points cannot be trained; that is said once."""
        study = self._study
        if not study.only_trained_count:
            return False
        unusable, trained = study.list_unusable(), study.count_finished()
        is_wasted = self._budget.is_wasted(len(unusable), trained)
        if is_wasted and not self._is_told:
            self._is_told = True
            self._hear(Note(self._describe_waste(unusable, trained)))
        return is_wasted

    def _start_trial(self) -> Trial | None:
        """Returns the trial to work on; None if the last ones are being worked on by other processes."""
        if self._scheduler is not None:
            return self._follow(self._scheduler)
        try:
            return self._make_trial(self._study.start_trial(self._budget.trials))
        except NoTrialLeftError:
            return None

    def _follow(self, scheduler: Scheduler) -> Trial | None:
        """Returns the trial that a plan says to work on; one that a dead run has abandoned goes on first.

        While there is none, but other processes train some, it waits: what they reach may be promoted.
        """
        while not self._is_over():
            abandoned = self._study.take_over()
            if abandoned is not None:
                trial = self._make_trial(abandoned)
                return trial if trial.stretches else trial.plan(FIRST.stretches)
            standings = read_standings(self._study, self._keeper.has_weights)
            plan, left = scheduler.fit(standings), self._budget.count_seconds_left()
            step = plan.decide(standings, left, self._may_start, self._study.find_best_whole())
            if isinstance(step, Done):
                if not any(standing.is_running for standing in standings):
                    return None
                with self._study.spent.timed("waiting"):
                    self._stop.wait(WAITING)
            elif begun := self._take(step, plan, standings, left):
                return begun
        return None

    def _take(
        self, step: Start | Resume, scheduler: Scheduler, standings: Sequence[Standing], left: float
    ) -> Trial | None:
        """Says what the plan is, and returns the trial of its next step; None if another process was faster."""
        plan = scheduler.describe(standings, step, left)
        self._study.note_plan(plan)
        self._hear(plan)
        if isinstance(step, Resume):
            facts = {STRETCHES: list(step.stretches), LAST: step.is_last}
            resumed = self._study.resume_trial(step.number, facts)
            return self._make_trial(resumed, is_resumed=True) if resumed else None
        with contextlib.suppress(NoTrialLeftError):
            trial = self._make_trial(self._study.begin_trial(self._budget.trials))
            return trial.plan(step.stretches, partial(scheduler.check_cost, standings), HASTE * scheduler.max_pace)
        return None

    def _make_trial(self, stored: optuna.Trial, is_resumed: bool = False) -> Trial:
        return Trial(stored, self._study, self._sampler, self._seed, self._budget, self._hear, self._stop, is_resumed)

    @property
    def _may_start(self) -> bool:
        trials, is_exhausted = self._budget.trials, self._sampler.exhausted or self._repeated >= MAX_REPEATED
        is_left = trials is None or self._study.count_begun() < trials
        return not is_exhausted and is_left and not self._is_wasted()

    def _work_on(self, trial: Trial) -> None:
        outcome, evaluation = self._try_evaluating(trial)
        is_best = evaluation is not None and self._study.rank(trial.stored, evaluation.value, trial.facts) == 0
        if evaluation is not None and trial.stretches and not evaluation.is_cut:
            trial.end_stretch(evaluation.value)
        if evaluation is not None and not is_best and (evaluation.is_cut or trial.is_waiting):
            outcome = Outcome("PRUNED", reason="timeout" if evaluation.is_cut else "not promoted")
        elif evaluation is not None:
            with trial.spent.timed("saving"):
                self._keeper.save_if_ranked(trial, evaluation)
        self._failures = self._failures + 1 if outcome.state == "FAIL" else 0
        self._repeated = self._repeated + 1 if outcome.reason.startswith(DUPLICATE) else 0
        outcome = self._restore(trial, outcome)
        facts = {**_collect_facts(outcome), **_collect_spent(trial)}
        self._study.finish(trial.stored, TrialState[outcome.state], outcome.value, facts, outcome.excess)
        self._keeper.tidy()
        trial.end(outcome, is_best)

    def _restore(self, trial: Trial, outcome: Outcome) -> Outcome:
        """Returns how a trial ends: one that was COMPLETE and brought nothing better is what it was."""
        earlier = self._study.find_value(trial.stored)
        if earlier is None or outcome.state == "COMPLETE":
            return outcome
        facts = {**outcome.facts, ENDED: outcome.state == "FAIL"}
        return Outcome("COMPLETE", earlier, outcome.reason, facts)

    def _try_evaluating(self, trial: Trial) -> tuple[Outcome, Evaluation | None]:
        """The failure ladder: what teaches the sampler is PRUNED, what nobody expected is FAIL."""
        try:
            evaluation = self._evaluate(trial)
        except (InterruptedTrialError, StoreError, StudyFileError, LeaseLostError, BrokenPipeError, *DATABASE_ERRORS):
            raise
        except TrialPrunedError:
            return Outcome("PRUNED", reason="pruner"), None
        except DuplicateTrialError as error:
            return Outcome("PRUNED", reason=str(error)), None
        except InfeasibleError as error:
            return Outcome("PRUNED", None, error.reason, {"detail": error.detail}, error.excess), None
        except MemoryError:
            return Outcome("PRUNED", None, "out of memory", excess=1.0), None
        except (Exception, SystemExit) as error:
            if isinstance(error, OSError) and is_full(error):  # no fault of the trial, which goes on next time
                raise explain_refusal(f"trial {trial.number} cannot continue", error) from error
            line = modules.find_line(error)
            detail = get_first_line(error) + (f" ({Path(line).name})" if line else "")
            return Outcome("FAIL", None, "error", {"detail": detail, "traceback": traceback.format_exc()}), None
        if not math.isfinite(evaluation.value):
            return Outcome("FAIL", None, "NaN", {"detail": f"the objective is {evaluation.value}"}), None
        return Outcome("COMPLETE", evaluation.value), evaluation

    def _describe_waste(self, unusable: Collection[int], trained: int) -> str:
        pruned = self._study.list_trials([TrialState.PRUNED])
        reasons = describe_endings(trial.user_attrs.get("reason", "") for trial in pruned if trial.number in unusable)
        of = "" if self._budget.trials is None else f" of {self._budget.trials}"
        return (
            f"no further point is tried: {len(unusable)} could not be trained ({reasons}), {trained}{of} could; widen "
            "[limits], or leave out what is too large or invalid in the search space"
        )

    def _describe_failures(self) -> str:
        last = self._study.list_trials([TrialState.FAIL])[-1].user_attrs
        return (
            f"{self._failures} trials failed in a row, the last in search space '{last.get('space', '?')}': "
            f"{last.get('detail', '?')}; finished trials are safe. "
            f"`searchcnn status {self._study.name} --failures` shows the tracebacks; fix the plugin, and run the same "
            "command again with --accept-changes"
        )


def _collect_facts(outcome: Outcome) -> dict[str, Any]:
    facts = dict(outcome.facts)
    return facts | {"reason": outcome.reason} if outcome.reason else facts


def _collect_spent(trial: Trial) -> dict[str, Any]:
    spent = trial.spent.to_dict()
    return {SPENT: spent} if spent else {}
