"""What a search tells as it goes; the live view and the plain log listen to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from searchcnn.search.trial import Trial
    from searchcnn.store import Epoch

State = Literal["COMPLETE", "PRUNED", "FAIL"]


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        state: COMPLETE, PRUNED or FAIL.
        value: The objective of a COMPLETE trial.
        reason: Why it was pruned or failed, short: ``"pruner"``, ``"max_params"``, ``"error"``.
        facts: Details kept with the trial.
        excess: Relative excess of an infeasible trial; 0 for feasible ones.
    """

    state: State
    value: float | None = None
    reason: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    excess: float = 0.0


class Listener:
    """Hears what a search does; this one does nothing, subclasses override what they want to hear."""

    def trial_started(self, trial: Trial) -> None:
        """A trial begins."""

    def trial_described(self, trial: Trial) -> None:
        """A trial's network is built: its ``facts`` are known."""

    def epoch_progressed(self, trial: Trial, epoch: int, fraction: float) -> None:
        """Part of an epoch, from 0 to 1, is trained."""

    def epoch_finished(self, trial: Trial, epoch: Epoch) -> None:
        """An epoch is trained, validated and stored."""

    def trial_finished(self, trial: Trial, outcome: Outcome, is_best: bool) -> None:
        """A trial has ended and is stored."""

    def phase(self, text: str) -> None:
        """Something that takes a while begins: loading, a dry run, saving."""
