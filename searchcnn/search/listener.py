"""What a search tells as it goes; the live view and the plain log listen to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from searchcnn.data import Inspection
    from searchcnn.store import Epoch

State = Literal["COMPLETE", "PRUNED", "FAIL"]


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        state: COMPLETE, PRUNED or FAIL.
        value: The score of a COMPLETE trial.
        reason: Why it was pruned or failed, short: ``"pruner"``, ``"max_params"``, ``"error"``.
        facts: Details kept with the trial.
        excess: Relative excess of an infeasible trial; 0 for feasible ones.
    """

    state: State
    value: float | None = None
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    excess: float = 0.0


class TrialProgress(Protocol):
    """What there is to see of a trial at work; a `Trial`, or what another process tells of one.

    Attributes:
        number: The trial's number in its study, from 0.
        origin: Where its hyperparameters come from, if they are given.
        facts: What is known of it: its search space, hyperparameters, cost.
        best: Best score so far; None before the first epoch.
    """

    number: int
    origin: str
    facts: dict[str, Any]
    best: float | None


class Listener:
    """Hears what a search does; this one does nothing, subclasses override what they want to hear."""

    def trial_started(self, trial: TrialProgress) -> None:
        """A trial begins."""

    def trial_described(self, trial: TrialProgress) -> None:
        """A trial's network is built: its ``facts`` are known."""

    def epoch_progressed(self, trial: TrialProgress, epoch: int, fraction: float) -> None:
        """Part of an epoch, from 0 to 1, is trained."""

    def epoch_finished(self, trial: TrialProgress, epoch: Epoch) -> None:
        """An epoch is trained, validated and stored."""

    def trial_finished(self, trial: TrialProgress, outcome: Outcome, is_best: bool) -> None:
        """A trial has ended and is stored."""

    def trial_given_up(self, number: int, reason: str, detail: str) -> None:
        """A trial that kills its processes, or hangs, is stored as FAIL; nobody works on it any more."""

    def phase(self, text: str, done: float | None = None) -> None:
        """Something that takes a while begins, or goes on: loading, a dry run, saving; ``done`` is the part, 0..1."""

    def dataset_read(self, report: Inspection) -> None:
        """The images are read and divided; or why they cannot be is among what was found."""

    def begun(self) -> None:
        """The study is in its database, ready for further processes to join."""

    def noted(self, text: str) -> None:
        """Something about the study or a trial was found that the user should know."""

    def trouble(self, text: str) -> None:
        """Something went wrong that does not end the search."""
