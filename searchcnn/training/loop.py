"""The training of one trial: phase by phase, with early stopping, checkpoints, and reports to the search."""

import math
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from searchcnn.search import InterruptedTrialError, OutOfTimeError, Trial
from searchcnn.spaces.space import Phase
from searchcnn.store import MACHINE, PACE
from searchcnn.study import StudyConfig
from searchcnn.training.backup import Backup
from searchcnn.training.callbacks import BatchStatistics, BestWeights, PlainMetrics, Reporter
from searchcnn.training.candidate import Candidate
from searchcnn.training.fit import Stretch, fit_phase, read_score
from searchcnn.training.inputs import Inputs
from searchcnn.training.pace import Pace
from searchcnn.training.timed_schedule import TimedSchedule


class TrainingLoop:
    """Trains a candidate for a trial.

    Args:
        candidate: What is trained; it has its best epoch's weights afterwards.
        trial: The trial, which hears of each epoch.
        config: The study.
        inputs: Its images.
        builders_count: Whether what a builder brings along counts; see `searchcnn.study.rules`.
        checkpoint: File from which an interrupted training resumes; None: it begins again.

    Attributes:
        candidate: What is trained.
        reporter: Knows why the training ended, and its learning curve.
        pace: Knows how long an epoch takes.
    """

    def __init__(
        self,
        candidate: Candidate,
        trial: Trial,
        config: StudyConfig,
        inputs: Inputs,
        builders_count: bool = True,
        checkpoint: Path | None = None,
    ) -> None:
        self.candidate = candidate
        self._trial = trial
        self._config = config
        self._inputs = inputs
        self._builders_count = builders_count
        self._best = BestWeights(candidate.model, config.objective)
        is_divided = bool(candidate.stretches)
        self._backup = Backup(checkpoint, self._make_key(), candidate.model, self._best, is_divided)
        images, validated = len(inputs.dataset.train), len(inputs.dataset.validation)
        self._steps = candidate.count_steps(images)
        self.pace = Pace(self._steps, candidate.count_epochs_between_validations(images, validated))
        self.reporter = self._make_reporter()
        self._returned: Any = None

    @property
    def resumes(self) -> bool:
        """Whether it goes on from a checkpoint."""
        return self._backup.pending is not None

    def _make_reporter(self) -> Reporter:
        config, batch_size = self._config, self.candidate.recipe.batch_size
        validation_steps = len(self._inputs.dataset.validation) / batch_size
        deadline = time.monotonic() + (config.limits.trial_timeout or math.inf)
        metric = config.objective.metric
        return Reporter(self._trial, metric, self._steps, validation_steps, deadline, self._backup.save)

    def run(self) -> Reporter:
        """Trains the candidate; resumes what another process has begun of it.

        Returns:
            The reporter.
        """
        checkpoint = self._backup.pending
        if checkpoint is None and self._trial.scores:
            self._trial.restart()  # its checkpoint is on another machine, or lost
        if checkpoint is not None and not self.reporter.resume(checkpoint.epochs):
            return self.reporter
        for number, phase in enumerate(self.candidate.phases()):
            if checkpoint is not None and number < checkpoint.phase:
                continue
            self._run_phase(number, phase)
            if self._is_over:
                break
        if self._trial.best is None and self.reporter.ending in ("", "timeout"):
            self._trial.best = read_score(self._returned, self._config.objective.metric)
        for activity, seconds in self.pace.spent.items():
            self._trial.spent.add(activity, seconds)
        if self.candidate.stretches:
            self._describe_stretch()
        return self.reporter

    def _describe_stretch(self) -> None:
        """Takes note of how long an epoch took, and of how many there were."""
        if self.pace.seconds:
            self._trial.note(**{PACE: round(self.pace.seconds, 4), MACHINE: socket.gethostname()})
        if not self.reporter.ending:
            self._trial.end_stretch_at(self.reporter.epochs)

    @property
    def _is_over(self) -> bool:
        return bool(self.reporter.ending) or self.reporter.epochs >= self.candidate.recipe.epochs

    def _run_phase(self, number: int, phase: Phase) -> None:
        try:
            if phase.is_solved:
                self._solve()
            else:
                self._fit(number, phase)
        except OutOfTimeError:
            if self._trial.best is None:
                raise InterruptedTrialError from None  # nothing is known of it: it begins again, given more time
            self.reporter.ending = "timeout"

    def _solve(self) -> None:
        """Solves the last layer, which counts as one epoch."""
        began = time.monotonic()
        solution = self._inputs.solve(self.candidate, self._trial.check)
        self._trial.spent.add("training", time.monotonic() - began)
        self._trial.note(penalty=solution.penalty, solved=solution.metrics[self._config.objective.metric])
        self._best.set_model(self.candidate.model)
        self._best.on_epoch_end(0, solution.metrics)
        self.reporter.report_solution(solution.metrics, time.monotonic() - began)

    def _fit(self, number: int, phase: Phase) -> None:
        """Fits the network, in one phase of its training."""
        watched = self._make_early_stopping()
        checkpoint = self._backup.pending
        epochs_before = self._backup.begin_phase(number, self.reporter.epochs, watched)
        candidate = self.candidate.during(phase, self.candidate.recipe.epochs - epochs_before)
        first = self.reporter.epochs - epochs_before
        if checkpoint is not None and (checkpoint.is_over or first >= candidate.recipe.epochs):
            self._backup.skip_phase()
            return
        with self._trial.spent.timed("features"):
            candidate, train, validation = self._inputs.shorten(candidate, self._trial.check)
        stretch = Stretch(
            train,
            validation,
            seed=self._trial.seed,
            callbacks=self._order_callbacks(watched),
            first=first,
            normalization=self._inputs.make_normalization(candidate.recipe.normalization),
            own_batch_size=self._builders_count,
        )
        self._returned = fit_phase(candidate, stretch)
        self._best.restore()

    def _order_callbacks(self, watched: Sequence[Any]) -> list[Any]:
        """Returns all callbacks, in the only order that is right.

        First those that change what the others read. The best weights and the state of early stopping come before the
        reporter: it writes the checkpoint, which has them in it, before it tells the database of the epoch. The backup
        comes last, so that at the beginning it restores what the others have just reset.
        """
        statistics = [BatchStatistics()] if self._builders_count else []
        schedule: list[Any] = []
        if self.candidate.stretches and self._trial.is_last:
            schedule = [TimedSchedule(self._steps, self.pace, self._trial.budget.count_seconds_left)]
        return [self.pace, *schedule, PlainMetrics(), *statistics, self._best, *watched, self.reporter, self._backup]

    def _make_early_stopping(self) -> list[Any]:
        """Returns the callbacks whose state a checkpoint keeps."""
        objective, recipe = self._config.objective, self.candidate.recipe
        watch = {"monitor": objective.metric, "mode": objective.mode}
        finite = keras.callbacks.TerminateOnNaN()
        if self.candidate.stretches:  # each is a complete cycle
            return [finite]
        stopping = keras.callbacks.EarlyStopping(**watch, patience=recipe.patience)
        if recipe.schedule != "plateau":
            return [stopping, finite]
        return [stopping, finite, keras.callbacks.ReduceLROnPlateau(**watch, factor=0.5, patience=2)]

    def _make_key(self) -> dict[str, Any]:
        """Returns what a checkpoint must share with the trial."""
        return {
            "seed": self._trial.seed,
            "hyperparameters": self._trial.facts["hyperparameters"],
            "training": self._config.training.model_dump(exclude={"detect_scaling"}),  # older checkpoints have none
            "batch_size": self.candidate.recipe.batch_size,
            "data": self._inputs.dataset.fingerprint,
        }
