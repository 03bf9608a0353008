"""Where time goes, for readers."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


class Spent:
    """Seconds by activity: building, tracing, training, validating and saving of a trial; starting, waiting, checking.

    Args:
        seconds: What was spent before.
        clock: Returns the time in seconds.
    """

    def __init__(self, seconds: Mapping[str, float] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = dict(seconds or {})
        self._clock = clock

    def add(self, activity: str, seconds: float) -> None:
        """Adds seconds to an activity."""
        self._seconds[activity] = self._seconds.get(activity, 0.0) + seconds

    @contextmanager
    def timed(self, activity: str) -> Iterator[None]:
        """Adds the seconds of the body to an activity."""
        began = self._clock()
        try:
            yield
        finally:
            self.add(activity, self._clock() - began)

    def to_dict(self) -> dict[str, float]:
        """Returns the seconds by activity, to 10 ms."""
        return {activity: round(seconds, 2) for activity, seconds in self._seconds.items()}
