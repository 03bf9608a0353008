"""What a study may still spend: totals over all its runs."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """Totals for a study.

    Attributes:
        trials: Number of finished trials; None for no limit.
        deadline: When to stop, by `time.monotonic`; None for no limit.
    """

    trials: int | None
    deadline: float | None

    @classmethod
    def remaining(cls, trials: int | None, timeout: float | None, seconds_spent: float) -> "Budget":
        """Returns the budget of a run that begins now, after earlier runs have spent some seconds of the timeout."""
        deadline = None if timeout is None else time.monotonic() + timeout - seconds_spent
        return cls(trials, deadline)

    def count_seconds_left(self) -> float:
        """Returns the seconds until the deadline, infinity without one; below zero when it has passed."""
        return float("inf") if self.deadline is None else self.deadline - time.monotonic()

    def is_spent(self, finished_trials: int) -> bool:
        """Whether no further trial may begin."""
        return self.count_seconds_left() <= 0 or (self.trials is not None and finished_trials >= self.trials)
