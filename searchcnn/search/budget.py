"""What a study may still spend: totals over all its runs."""

import time
from collections.abc import Callable
from dataclasses import dataclass

LEAST_UNUSABLE, UNUSABLE = 100, 10
"""Points that cannot be trained after which a search stops: so many, or so many for each trial, whichever is more."""
MAX_RESERVE = 0.1
"""Fraction of a timeout that may be reserved."""


@dataclass(frozen=True)
class Budget:
    """Totals for a study.

    Attributes:
        trials: Number of trials whose training began; None for no limit.
        deadline: When to stop, by the clock; None for no limit.
        clock: Returns the time in seconds.
    """

    trials: int | None
    deadline: float | None
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def remaining(
        cls, trials: int | None, timeout: float | None, seconds_spent: float, reserve: float = 0.0
    ) -> "Budget":
        """Returns the budget of a run.

        Args:
            trials: Number of trials whose training began, over all runs; None for no limit.
            timeout: Seconds, over all runs; None for no limit.
            seconds_spent: Seconds that were spent until now.
            reserve: Seconds that are needed when the last trial has ended; a short search keeps less.
        """
        if timeout is None:
            return cls(trials, None)
        return cls(trials, time.monotonic() + timeout - seconds_spent - min(reserve, MAX_RESERVE * timeout))

    def count_seconds_left(self) -> float:
        """Returns the seconds until the deadline, infinity without one; below zero when it has passed."""
        return float("inf") if self.deadline is None else self.deadline - self.clock()

    def is_spent(self, finished_trials: int) -> bool:
        """Whether no further trial may begin."""
        return self.count_seconds_left() <= 0 or (self.trials is not None and finished_trials >= self.trials)

    def is_wasted(self, unusable: int, trained: int) -> bool:
        """Whether so many points cannot be trained that looking for others is not worth it.

        Args:
            unusable: The number of points that cannot be trained.
            trained: The number of trials that could, for a budget that does not count them.
        """
        return unusable >= max(LEAST_UNUSABLE, UNUSABLE * (trained if self.trials is None else self.trials))
