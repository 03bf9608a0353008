"""What happens when a database server does not answer: calls are repeated for a while, with growing waits."""

import functools
import sqlite3
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import tenacity
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from searchcnn.errors import get_message
from searchcnn.events import Hear, Trouble, ignore

PATIENCE = 600.0
"""Seconds for which a call is repeated before the search ends."""
LONGEST_WAIT = 15.0
"""Seconds between two tries at most."""
SETTLING = 15.0
"""Seconds after an outage in which other processes may not have said yet that they live: three beats."""

Method = TypeVar("Method", bound=Callable[..., Any])


class Connection:
    """How this process stands with its database.

    Args:
        hear: Hears when the connection is lost.
    """

    def __init__(self, hear: Hear = ignore) -> None:
        self.hear = hear
        self._lost_at = float("-inf")

    def note_loss(self, error: BaseException) -> None:
        """Takes note that the database did not answer; the user hears of it once in an outage."""
        is_new = self.is_stable
        self._lost_at = time.monotonic()
        if is_new:
            self.hear(Trouble(f"the database does not answer ({read_message(error)}); trying again"))

    @property
    def is_stable(self) -> bool:
        """Whether the database has answered for so long that what it says of other processes is true again."""
        return time.monotonic() - self._lost_at > SETTLING


def read_message(error: BaseException) -> str:
    """Returns the first line of what the driver said, behind an error of SQLAlchemy's or of Optuna's storage."""
    cause = getattr(error, "orig", None) or getattr(error.__cause__, "orig", None) or error.__cause__ or error
    return get_message(cause)


def is_lost(error: BaseException) -> bool:
    """Whether an error of SQLAlchemy's or of Optuna's storage says that a server does not answer, or no longer.

    A SQLite file has no connection to lose: what it says is final.
    """
    cause = error if isinstance(error, DBAPIError) else error.__cause__
    return isinstance(cause, OperationalError | InterfaceError) and not isinstance(cause.orig, sqlite3.Error)


def repeat_while_lost(method: Method) -> Method:
    """Repeats a method of an object that has a `Connection` while it is lost; done twice, it must do no harm."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        def wait(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            self.connection.note_loss(error or TimeoutError())

        tries = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_lost),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=LONGEST_WAIT),
            stop=tenacity.stop_after_delay(PATIENCE),
            before_sleep=wait,
            reraise=True,
        )
        return tries(method, self, *args, **kwargs)

    return cast("Method", call)
