"""What starts workers: the one thing that differs between this machine and others."""

from collections.abc import Iterator
from typing import Protocol

from searchcnn.job import Job
from searchcnn.workers.slots import Slot


class Running(Protocol):
    """A worker that was started."""

    def read_lines(self) -> Iterator[str]:
        """Yields the lines of JSON that it says, until it ends; see `searchcnn.events.decode`."""
        ...

    def stop(self) -> None:
        """Tells it to stop in good order; it may have ended already."""
        ...

    def kill(self) -> None:
        """Ends it at once, and waits until it is gone."""
        ...

    def wait(self) -> int:
        """Waits until it is gone; returns its exit code, below zero the number of the signal that ended it."""
        ...


class Launcher(Protocol):
    """Starts workers."""

    def start(self, job: Job, slot: Slot) -> Running:
        """Starts a worker.

        Args:
            job: What it is to work on.
            slot: Where it runs.

        Raises:
            SearchcnnError: If it cannot be started.
        """
        ...
