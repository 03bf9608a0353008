"""The trials of a study, compared: their ranks, how far validation is behind training, and which are as good."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from searchcnn.errors import UsageError, nearest
from searchcnn.events import Epoch
from searchcnn.results.card import find_card, is_foreign
from searchcnn.store import StudySummary, TrialSummary
from searchcnn.study import Objective

PROPORTIONS = ("val_accuracy", "val_sparse_categorical_accuracy", "val_categorical_accuracy", "val_acc")
"""Objectives that are the share of the validation images that are classified right."""
NAMES = {"time": "seconds", "number": "trial", "score": "", "value": ""}
"""Other names of columns; the objective's is not the same in all studies."""


@dataclass(frozen=True)
class Leaderboard:
    """The trials of a study, compared.

    Attributes:
        summary: The study.
        gaps: By trial, how much better the objective is in training than in validation, at the epoch that counts.
        images: Number of images that scores were measured on; None if that is not known.
    """

    summary: StudySummary
    gaps: Mapping[int, float]
    images: int | None = None

    @classmethod
    def of(cls, summary: StudySummary, curves: Mapping[int, Sequence[Epoch]], model: Path) -> Self:
        """Compares the trials of a study.

        Args:
            summary: The study.
            curves: The epochs of its trials.
            model: The file of its best model, whose card says on how many images it was measured.
        """
        objective = summary.config.objective
        gaps = {number: measure_gap(curve, objective) for number, curve in curves.items()}
        known = {number: gap for number, gap in gaps.items() if gap is not None}
        return cls(summary, known, _count_images(model, summary))

    @cached_property
    def ties(self) -> list[TrialSummary]:
        """The other trials that the validation images cannot tell from the best one, the least work first.

        Their difference to it is no more than the standard error of a difference of two accuracies, each measured on
        that many images: sqrt((p (1 - p) + q (1 - q)) / n). Both are measured on the same ones, so that it is less in
        truth.
        """
        best, images = self.summary.best, self.images
        if best is None or not images or self.summary.config.objective.metric not in PROPORTIONS:
            return []
        ties = [trial for trial in self.summary.ranking[1:] if _is_tie(best.value, trial.value, images)]
        return sorted(ties, key=lambda trial: trial.facts.get("macs", math.inf))

    @property
    def columns(self) -> list[str]:
        """The names of the columns of a record."""
        return list(next(iter(self.records.values()), {}))

    @cached_property
    def records(self) -> dict[int, dict[str, Any]]:
        """Each trial as a row of a table, by number; all have the same columns, None for what is not known."""
        rows = [self._make_record(trial) for trial in self.summary.trials]
        names = dict.fromkeys(name for row in rows for name in row)
        return {row["trial"]: {name: row.get(name) for name in names} for row in rows}

    def sort(self, key: str | None = None) -> list[TrialSummary]:
        """Returns the trials in the order of a column: the best first, or else the smallest; the unknown come last.

        Args:
            key: A column or a hyperparameter; None for the objective.

        Raises:
            UsageError: If there is no such column.
        """
        column = self._find_column(key or "score")
        if column == self.summary.config.objective.metric:
            return self._rank()
        return sorted(self.summary.trials, key=lambda trial: _make_key(self.records[trial.number][column]))

    def _rank(self) -> list[TrialSummary]:
        """Returns the trials that count, the best one first, then the others by what they have reached."""
        objective, ranked = self.summary.config.objective, self.summary.ranking
        numbers = {trial.number for trial in ranked}
        others = [trial for trial in self.summary.trials if trial.number not in numbers]
        others.sort(key=lambda trial: math.inf if trial.value is None else -objective.merit(trial.value))
        return ranked + others

    def _find_column(self, key: str) -> str:
        metric = self.summary.config.objective.metric
        columns = {name.lower(): name for name in self.columns or ["trial", metric]}
        found = columns.get(key.lower(), NAMES.get(key.lower()))
        if found is None:
            hint = nearest(key, self.columns) or f"; known: {', '.join(columns.values())}"
            raise UsageError(f"no column or hyperparameter '{key}' to sort by{hint}")
        return found or metric

    @cached_property
    def _tied(self) -> set[int]:
        return {trial.number for trial in self.ties}

    @cached_property
    def _ranks(self) -> dict[int, int]:
        return {trial.number: rank for rank, trial in enumerate(self.summary.ranking, 1)}

    def _make_record(self, trial: TrialSummary) -> dict[str, Any]:
        facts = trial.facts
        record = {
            "trial": trial.number,
            "state": trial.state,
            self.summary.config.objective.metric: trial.value,
            "rank": self._ranks.get(trial.number),
            "tie": trial.number in self._tied,
            "gap": self.gaps.get(trial.number),
            "epochs": trial.epochs,
            "seconds": trial.seconds,
            **{key: facts.get(key) for key in ("params", "macs", "space", "origin", "reason", "detail")},
        }
        return record | {_name(name, record): value for name, value in trial.hyperparameters.items()}


def find_trial(summary: StudySummary, number: int) -> TrialSummary:
    """Returns a trial of a study.

    Raises:
        UsageError: If it has no trial of that number.
    """
    trial = next((trial for trial in summary.trials if trial.number == number), None)
    if trial is None:
        numbers = f"its trials are 0 to {len(summary.trials) - 1}" if summary.trials else "it has none"
        raise UsageError(f"study '{summary.name}' has no trial {number}; {numbers}")
    return trial


def find_counting_epoch(curve: Sequence[Epoch], objective: Objective) -> Epoch | None:
    """Returns the epoch whose weights a trial keeps: the best one, and among equal ones that of the least loss.

    Args:
        curve: The trial's epochs.
        objective: What is better.
    """
    scored = [epoch for epoch in curve if math.isfinite(epoch.metrics.get(objective.metric, math.nan))]

    def rank(epoch: Epoch) -> tuple[float, float]:
        return -objective.merit(epoch.metrics[objective.metric]), epoch.metrics.get("val_loss", math.inf)

    return min(scored, key=rank, default=None)


def measure_gap(curve: Sequence[Epoch], objective: Objective) -> float | None:
    """Returns how much better the objective is in training than in validation; None where it is not measured in both.

    It is that of the epoch that counts. In training it is a mean over the epoch, with dropout and augmented images: it
    may well be below zero.

    Args:
        curve: The trial's epochs.
        objective: What is measured, and what is better.
    """
    epoch, metric = find_counting_epoch(curve, objective), objective.metric
    in_training = epoch.metrics.get(metric.removeprefix("val_")) if epoch and metric.startswith("val_") else None
    if epoch is None or in_training is None or math.isnan(in_training):
        return None
    return objective.merit(in_training) - objective.merit(epoch.metrics[metric])


def _is_tie(best: float | None, value: float | None, images: int) -> bool:
    if best is None or value is None:
        return False
    variance = sum(score * (1 - score) for score in (best, value)) / images
    return abs(best - value) <= math.sqrt(max(0.0, variance))


def _count_images(model: Path, summary: StudySummary) -> int | None:
    """Returns the number of images that the scores of a study were measured on, if its card says so."""
    card = find_card(model)
    try:
        return None if is_foreign(card, summary) else int(card["scores"]["validation"]["images"])
    except (KeyError, TypeError, ValueError):
        return None


def _name(hyperparameter: str, record: Mapping[str, Any]) -> str:
    """Returns the name of a hyperparameter's column, which no other column may have."""
    return f"hyperparameters.{hyperparameter}" if hyperparameter in record else hyperparameter


def _make_key(value: Any) -> tuple[int, Any]:
    """Returns what sorts values of any kind: numbers, then words, then what is not known."""
    if value is None:
        return 2, 0
    return (1, value) if isinstance(value, str) else (0, value)
