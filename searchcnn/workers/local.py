"""Starts workers as processes of this machine."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from searchcnn.files import guard_writing
from searchcnn.job import Job
from searchcnn.workers.slots import Slot


class LocalProcess:
    """A worker in a process of this machine; it stops when its standard input is closed.

    Args:
        process: The process.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def give(self, job: Job) -> None:
        """Tells it what to search."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # it has died already, which is seen by the end of its output
            self._process.stdin.write(job.to_json() + "\n")
            self._process.stdin.flush()

    def read_lines(self) -> Iterator[str]:
        """Yields the lines of its standard output, until it ends."""
        assert self._process.stdout
        with self._process.stdout as lines:
            yield from lines

    def stop(self) -> None:
        """Closes its standard input."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def kill(self) -> None:
        """Kills it."""
        self._process.kill()
        self._process.wait()
        self.stop()

    def wait(self) -> int:
        """Waits until it has ended; returns its exit code."""
        code = self._process.wait()
        self.stop()
        return code


class LocalLauncher:
    """Starts workers as processes of this machine, which write what else they print into the study's log."""

    def start(self, job: Job, slot: Slot) -> LocalProcess:
        """Starts a worker and gives it its job.

        Raises:
            StoreError: If the log cannot be written.
        """
        log = job.workspace.log(job.name)
        with guard_writing(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            file = log.open("a", encoding="utf-8")
        with file:
            process = subprocess.Popen(  # -P: a random.py in the current folder is not Python's
                [sys.executable, "-P", "-m", "searchcnn.workers"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env={**os.environ, **slot.environment},
                text=True,
                encoding="utf-8",
            )
        worker = LocalProcess(process)
        try:
            worker.give(job)
        except BaseException:  # a second Ctrl-C: nobody else knows of it yet
            worker.kill()
            raise
        return worker
