"""The result of a check."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Result:
    """The outcome of one check of a search space.

    Attributes:
        check: Name of the check.
        status: ``skipped`` if the check is meaningless for this space, or if another check has to pass first.
        message: What was found; for a failed check, what is wrong and how to fix it.
        seconds: How long it took.
    """

    check: str
    status: Status
    message: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the check passed."""
        return self.status == "passed"


class CheckFailedError(Exception):
    """A search space does not do what a check expects; the message says what is wrong and how to fix it."""


class CheckSkippedError(Exception):
    """A check cannot be run; the message says why."""
