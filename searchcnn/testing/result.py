"""What a check found."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Result:
    """The outcome of one check of a search space.

    Attributes:
        check: Name of the check.
        status: ``skipped`` where the check has no meaning for this space, or another one has to be passed first.
        message: What was found; of a failed check, what is wrong and what to do.
        seconds: How long it took.
    """

    check: str
    status: Status
    message: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the check was passed."""
        return self.status == "passed"


class CheckFailedError(Exception):
    """A search space does not do what a check expects; the message says what is wrong and what to do."""


class CheckSkippedError(Exception):
    """A check cannot be made; the message says why."""
