"""Clocks that stand still until they are moved on, and turns of the workers that have them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

BUILDING = 0.5
"""Seconds to build a network, or to load it, before each stretch."""


@dataclass
class Clock:
    """A clock that stands still until it is moved on."""

    now: float = 0.0

    def __call__(self) -> float:
        """Returns the time in seconds."""
        return self.now


class Turns:
    """Lets workers that have clocks of their own take turns: it is always that one's whose clock is behind.

    Args:
        workers: How many there are.

    Attributes:
        clocks: Theirs.
    """

    def __init__(self, workers: int) -> None:
        self.clocks = [Clock() for _ in range(workers)]
        self._working = set(range(workers))
        self._changed = threading.Condition()

    def wait(self, worker: int) -> None:
        """Waits until it is a worker's turn; all that it does until then, others do not see."""
        with self._changed:
            self._changed.notify_all()
            self._changed.wait_for(lambda: worker == self._find_next())

    def end(self, worker: int) -> None:
        """Takes a worker out, and the others on."""
        with self._changed:
            self._working.discard(worker)
            self._changed.notify_all()

    def skip(self, worker: int) -> None:
        """Moves the clock of a worker that has nothing to do on until another one has done something."""
        others = [self.clocks[other].now for other in self._working - {worker}]
        self.clocks[worker].now = max(self.clocks[worker].now, min(others, default=0.0)) + BUILDING
        self.wait(worker)

    def _find_next(self) -> int:
        return min(self._working, key=lambda worker: (self.clocks[worker].now, worker))


class Idle(threading.Event):
    """A search's stop of which waiting costs no real time.

    Args:
        skip: Moves the clock on.
    """

    def __init__(self, skip: Callable[[], None]) -> None:
        super().__init__()
        self._skip = skip

    def wait(self, timeout: float | None = None) -> bool:
        """Moves the clock on."""
        self._skip()
        return False
