"""The process in which trials run: ``python -m searchcnn.workers``, started by a supervisor.

It is given its job as a line of JSON on standard input, and stops when that is closed: by the supervisor, or by its
death. Standard output carries events only; whatever a framework or a plugin prints goes to standard error.
"""

import contextlib
import os
import signal
import sys
import threading
import traceback
from typing import IO

import psutil

from searchcnn import streams
from searchcnn.backend import own_process
from searchcnn.errors import SearchcnnError
from searchcnn.events import Event, Hear, Outcome, TrialFinished, WorkerEnded, encode
from searchcnn.job import Job
from searchcnn.run import run_search

MAX_TRIALS = 100
"""Trials after which a worker is replaced by a fresh process."""
MAX_GROWTH = 2 * 2**30
"""Bytes by which a worker's memory may have grown since its first trial before it is replaced."""


class Sender:
    """Writes events for a supervisor, from any thread: a line of JSON for each.

    Args:
        stream: Where to.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def hear(self, event: Event) -> None:
        """Writes an event."""
        with self._lock:
            self._stream.write(encode(event) + "\n")
            self._stream.flush()


class Recycler:
    """Ends the work in good order between two trials when the process should be replaced by a fresh one.

    Args:
        hear: Hears all that the recycler hears.
        stop: Is set to end the work.
    """

    def __init__(self, hear: Hear, stop: threading.Event) -> None:
        self._hear = hear
        self._stop = stop
        self._trials = 0
        self._memory = 0
        self.is_recycled = False

    def hear(self, event: Event) -> None:
        """Passes an event on, and looks whether the trial that has ended was the last one."""
        self._hear(event)
        if isinstance(event, TrialFinished):
            self._look(event.outcome)

    def _look(self, outcome: Outcome) -> None:
        self._trials += 1
        self._memory = self._memory or measure_memory()
        has_grown = measure_memory() - self._memory > MAX_GROWTH
        if not self._stop.is_set() and (self._trials >= MAX_TRIALS or has_grown or outcome.reason == "out of memory"):
            self.is_recycled = True
            self._stop.set()


def main() -> None:
    """Works on the study until nothing is left to do, or it is told to stop."""
    own_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the supervisor, which tells its workers
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as stream:
        os.dup2(2, 1)
        streams.write_utf8(("stdout", "stderr"))  # the log is a file
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        job = Job.from_json(sys.stdin.readline())
        threading.Thread(target=_stop_at_end_of_input, args=(stop,), daemon=True).start()
        sys.exit(_work(job, Sender(stream).hear, stop))


def measure_memory() -> int:
    """Returns the bytes of memory that this process has."""
    return int(psutil.Process().memory_info().rss)


def _work(job: Job, hear: Hear, stop: threading.Event) -> int:
    recycler = Recycler(hear, stop)
    try:
        run_search(job, recycler.hear, stop)
    except SearchcnnError as error:
        hear(WorkerEnded("failed", type(error).__name__, str(error)))
        return error.exit_code
    except Exception as error:
        with contextlib.suppress(OSError):  # the log is on a full disk
            traceback.print_exc()
        hear(WorkerEnded("failed", type(error).__name__, str(error)))
        return 1
    hear(WorkerEnded("recycled" if recycler.is_recycled else "stopped" if stop.is_set() else "finished"))
    return 0


def _stop_at_end_of_input(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()
