"""Replays learning curves for trials: the evaluator that is given to the search, in the place of a trainer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from optuna.distributions import FloatDistribution

from benchmarks.replay.clock import BUILDING, Clock
from benchmarks.replay.curves import Curve
from benchmarks.replay.points import Points
from searchcnn.events import Epoch
from searchcnn.search import Cost, Evaluation, InterruptedTrialError, Trial, TrialPrunedError
from searchcnn.store import LAST, PACE, STRETCHES
from searchcnn.study import Objective

OBJECTIVE = Objective("val_accuracy", "maximize")
EPOCHS_AT_ONCE = 10
"""Epochs of a trial that is trained all at once."""


@dataclass(frozen=True)
class Moment:
    """What was spent until the search had found something better than before, and its score."""

    seconds: float
    epochs: float
    score: float


@dataclass
class Replay:
    """Replays curves for trials: the evaluator that is given to the search, in the place of `training.Trainer`.

    Attributes:
        points: The recorded points.
        clock: Moves on as if they were trained.
        is_uniform: Whether points are drawn one as likely as the other, and none is asked for.
        wait: Called when the clock was moved on, before anything is told.
        moments: When the best score became better.
    """

    points: Points
    clock: Clock
    is_uniform: bool = True
    wait: Callable[[], None] = lambda: None
    moments: list[Moment] = field(default_factory=list)
    _chosen: dict[int, int] = field(default_factory=dict)
    _trained: dict[int, int] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """Epochs that were trained, by all workers."""
        return sum(self._trained.values())

    def __call__(self, trial: Trial) -> Evaluation:
        """Evaluates a trial; see `searchcnn.search.Evaluator`."""
        curve = self._choose(trial)
        self.clock.now += BUILDING
        if trial.stretches:
            trial.note(**{STRETCHES: list(trial.stretches), LAST: trial.is_last})
        trial.describe_network(macs=curve.macs)
        trial.check_cost(Cost(0, curve.macs), "")
        self.clock.now += curve.tracing
        evaluation = self._train_stretch(trial, curve) if trial.stretches else self._train_whole(trial, curve)
        if not self.moments or evaluation.value > self.moments[-1].score:
            self.moments.append(Moment(self.clock.now, self.epochs, evaluation.value))
        return evaluation

    def _choose(self, trial: Trial) -> Curve:
        if trial.number not in self._chosen:
            self._chosen[trial.number] = self._draw(trial)
        return self.points.curves[self._chosen[trial.number]]

    def _draw(self, trial: Trial) -> int:
        taken, count = list(self._chosen.values()), len(self.points.curves)
        if not self.is_uniform:
            return self.points.choose(trial, taken)
        left = sorted(set(range(count)) - set(taken)) or list(range(count))
        place: float = trial.suggest("place", FloatDistribution(0, 1))
        return left[math.floor(place * len(left)) % len(left)]

    def _train_stretch(self, trial: Trial, curve: Curve) -> Evaluation:
        """Trains a trial on, to the end of its stretch; a cycle that is cut is worth half of the epochs it had.

        The last one is not cut: its cycle ends with the time.
        """
        before = sum(trial.stretches[: len(trial.scores)])
        if trial.scores:
            trial.recall([(Epoch(before, {}, None, 0.0), trial.scores[-1])])
        planned = sum(trial.stretches) - before
        epochs = self._spend(trial, planned, curve.pace)
        is_cut = epochs < planned and not trial.is_last
        if epochs:
            self._report(trial, before + epochs, curve.score(before + (epochs / 2 if is_cut else epochs)))
            trial.note(**{PACE: curve.pace})
            trial.end_stretch_at(before + epochs)
        return _conclude(trial, is_cut=is_cut)

    def _train_whole(self, trial: Trial, curve: Curve) -> Evaluation:
        """Trains a trial all at once, in one cycle, as long as the pruner lets it."""
        for epoch in range(1, EPOCHS_AT_ONCE + 1):
            if not self._spend(trial, 1, curve.pace):
                return _conclude(trial, is_cut=True)
            score = curve.score(EPOCHS_AT_ONCE if epoch == EPOCHS_AT_ONCE else epoch / 2)
            if not self._report(trial, epoch, score):
                raise TrialPrunedError
        return _conclude(trial)

    def _spend(self, trial: Trial, epochs: int, pace: float) -> int:
        """Moves the clock on by some epochs, or as many as the time is enough for; returns their number."""
        left = max(0.0, trial.budget.count_seconds_left())
        ended = min(epochs, math.floor(left / pace))
        self.clock.now += epochs * pace if ended == epochs else left
        self._trained[trial.number] = self._trained.get(trial.number, 0) + ended
        self.wait()
        return ended

    def _report(self, trial: Trial, epoch: int, score: float) -> bool:
        return trial.report(Epoch(epoch, {OBJECTIVE.metric: score}, None, self.clock.now), score)


def _conclude(trial: Trial, is_cut: bool = False) -> Evaluation:
    """Returns the evaluation of a trial; one whose time was over before its first epoch begins again, given more."""
    if trial.best is None:
        raise InterruptedTrialError
    return Evaluation(trial.best, is_cut=is_cut)
