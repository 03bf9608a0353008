"""Starts workers, hears them, and replaces those that die; it imports no framework and survives whatever they do."""

import contextlib
import math
import queue
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from searchcnn import errors
from searchcnn.errors import ConnectionLostError, SearchcnnError, StoreError, StudyFailedError
from searchcnn.events import (
    Hear,
    Note,
    StudyOpened,
    TrialFinished,
    TrialGivenUp,
    TrialStarted,
    Trouble,
    WorkerEnded,
    decode,
    ignore,
)
from searchcnn.files import check_writable
from searchcnn.job import Job
from searchcnn.results.card import read_card
from searchcnn.run import run_search
from searchcnn.spaces.discovery import list_folders
from searchcnn.store import DEADLY, Takeover, guard_database, open_storage, read_if_begun
from searchcnn.store.connection import PATIENCE
from searchcnn.study import StudyConfig
from searchcnn.study.begun import find_changes
from searchcnn.workers.launcher import Launcher, Running
from searchcnn.workers.local import LocalLauncher
from searchcnn.workers.slots import Slot, make_slots

TIME_TO_STOP = 10.0
"""Seconds in which workers that were told to stop have to be gone."""
MAX_FALSE_STARTS = 3
"""Workers that may die in a row before they have begun a trial."""
GRACE = 30.0
"""Seconds after its time in which a trial has to end by itself."""
SPENT = "{}: the budget is spent; nothing was done"
"""What is said of a study in which nothing is left to do."""
TICK = 0.2
"""Seconds between two looks at the user's stop."""


def search(
    job: Job,
    hear: Hear = ignore,
    stop: threading.Event | None = None,
    *,
    workers: int | None = None,
    gpus: str = "all",
    slots_per_gpu: int = 1,
) -> bool:
    """Searches until a study's budget is spent, in worker processes or in this one.

    Workers are replaced when they die; a trial goes on from its last epoch then.

    Args:
        job: What to search; a study that was begun before is continued.
        hear: Hears what happens, on this thread.
        stop: Set it to end the search in good order.
        workers: Number of worker processes; by default one for each share of a GPU, or one on the CPU. 0 searches in
            this process, which is what debuggers want.
        gpus: The GPUs to use: ``"all"``, ``"none"``, or numbers as `nvidia-smi` has them, as in ``"0,1"``.
        slots_per_gpu: Workers that share a GPU.

    Returns:
        Whether there was anything to do.

    Raises:
        SearchcnnError: If the study, its data, its plugins or its database cannot be used, or too many trials failed.
    """
    slots = make_slots(gpus, slots_per_gpu, workers)
    check_writable(job.model.parent)
    list_folders(job.workspace, job.plugins)  # refuses what is not there
    if _is_spent(job):
        hear(Note(SPENT.format(job.name)))
        return False
    if slots:
        supervise(job, slots, hear, stop)
    else:
        run_search(job, hear, stop)
    return True


def _is_spent(job: Job) -> bool:
    """Whether a search with this configuration has ended with no less budget, and nobody has gone on with it since."""
    begun = None
    with contextlib.suppress(StoreError):  # one of an earlier version goes on; others are refused when they are opened
        begun = read_if_begun(job.url, job.name)
    return (
        begun is not None
        and not (begun.running or begun.count("RUNNING") or job.accept_changes)
        and begun.concluded is not None
        and _asks_no_more(job.config, StudyConfig.model_validate(begun.concluded))
        and (begun.best is None or _is_verified(job.model))
    )


def _is_verified(model: Path) -> bool:
    """Whether a model is there, undamaged, and was verified."""
    with contextlib.suppress(StoreError):
        return read_card(model).get("verified") is True
    return False


def _asks_no_more(config: StudyConfig, concluded: StudyConfig) -> bool:
    """Whether a configuration is another one, but for a budget that may be smaller."""
    limits, spent = config.budget.model_dump(), concluded.budget.model_dump()
    same = not find_changes(concluded, config.model_copy(update={"budget": concluded.budget}))
    return same and all(limits[key] is not None and limits[key] <= spent[key] for key in spent if spent[key])


def supervise(
    job: Job,
    slots: Sequence[Slot],
    hear: Hear = ignore,
    stop: threading.Event | None = None,
    launcher: Launcher | None = None,
) -> None:
    """Searches in worker processes until a study's budget is spent.

    Args:
        job: What to search; a study that was begun before is continued.
        slots: A place for each worker.
        hear: Hears what happens, on this thread.
        stop: Set it to end the search in good order.
        launcher: Starts the workers; by default as processes of this machine.

    Raises:
        SearchcnnError: As `searchcnn.run.run_search`.
    """
    _Supervisor(job, slots, hear, stop or threading.Event(), launcher or LocalLauncher()).run()


@dataclass(eq=False)
class _Worker:
    """A worker at work.

    Attributes:
        slot: Where it runs.
        running: The worker itself.
        trial: Number of the trial that it works on.
        began: When that trial began, by `time.monotonic`.
        ending: How it said that it ended; None before, and if it died.
    """

    slot: Slot
    running: Running
    trial: int | None = None
    began: float = 0.0
    ending: WorkerEnded | None = None


class _Supervisor:
    def __init__(self, job: Job, slots: Sequence[Slot], hear: Hear, stop: threading.Event, launcher: Launcher) -> None:
        self._job = job
        self._launcher = launcher
        self._slots = slots
        self._hear = hear
        self._stop = stop
        self._events: queue.Queue[tuple[_Worker, str]] = queue.Queue()
        self._workers: list[_Worker] = []
        self._deaths = 0
        self._false_starts = 0
        self._answered = float("-inf")
        self._failure: SearchcnnError | None = None

    def run(self) -> None:
        """Starts one worker, the others when the study is begun, and replaces those that end too early."""
        try:
            self._start(self._slots[0])
            while self._workers:
                self._read_event()
                self._end_hanging()
                if self._stop.is_set() or self._failure:
                    self._end()
        finally:
            self._kill()
        if self._failure:
            raise self._failure

    def _start(self, slot: Slot) -> None:
        is_first = math.isinf(self._answered)  # to it the time from the command on is counted
        job = self._job if is_first else replace(self._job, began=time.time())
        worker = _Worker(slot, self._launcher.start(job, slot))
        self._workers.append(worker)
        threading.Thread(target=self._read, args=(worker,), daemon=True).start()

    def _read(self, worker: _Worker) -> None:
        """Puts a worker's lines into the queue, and an empty one at their end."""
        for line in worker.running.read_lines():
            self._events.put((worker, line))
        self._events.put((worker, ""))

    def _read_event(self) -> None:
        try:
            worker, line = self._events.get(timeout=TICK)
        except queue.Empty:
            return
        if not line:
            self._handle_end(worker)
            return
        event = decode(line)
        if isinstance(event, WorkerEnded):
            worker.ending = event
            return
        self._hear(event)
        match event:
            case TrialStarted(number):
                worker.trial, worker.began = number, time.monotonic()
                self._false_starts = 0
            case TrialFinished():
                worker.trial, self._deaths, self._answered = None, 0, time.monotonic()
            case StudyOpened():
                self._start_others()

    def _start_others(self) -> None:
        is_first, self._answered = math.isinf(self._answered), time.monotonic()
        if is_first:
            for slot in self._slots[1:]:
                self._start(slot)

    def _handle_end(self, worker: _Worker) -> None:
        """Takes note that a process has ended, and replaces it where that was too early."""
        code = worker.running.wait()
        self._workers.remove(worker)
        match worker.ending:
            case WorkerEnded("failed") as failure:
                self._handle_failure(worker, failure)
            case WorkerEnded("recycled") if not self._stop.is_set():
                self._start(worker.slot)
            case None if not self._stop.is_set() and not self._failure:
                self._handle_death(worker, code)

    def _handle_failure(self, worker: _Worker, failure: WorkerEnded) -> None:
        error = self._make_error(failure)
        is_away = isinstance(error, ConnectionLostError) and time.monotonic() < self._answered + PATIENCE
        if is_away and not self._stop.is_set():
            self._start(worker.slot)  # a new one has lost its connection at the start, when workers do not wait
        else:
            self._failure = self._failure or error

    def _handle_death(self, worker: _Worker, code: int) -> None:
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if worker.trial is None:
            self._false_starts += 1
            deaths, limit, at_work = self._false_starts, MAX_FALSE_STARTS, ""
        else:
            self._deaths += 1
            limit = DEADLY * self._job.config.search.max_failures  # `max_failures` trials have been given up by then
            deaths, at_work = self._deaths, f" in trial {worker.trial}"
        if deaths < limit:
            self._hear(Trouble(f"a worker died{at_work} ({cause}); a new one continues"))
            self._start(worker.slot)
            return
        self._failure = StudyFailedError(
            f"{deaths} workers died in a row, the last{at_work} ({cause}); finished trials are safe. "
            f"{self._job.workspace.log(self._job.name)} has what they printed"
        )

    def _end_hanging(self) -> None:
        """Kills workers whose trial should have been over long ago; a trial that can, ends by itself."""
        limit = self._job.config.limits.trial_timeout
        if limit is None:
            return
        for worker in self._workers:
            if worker.trial is not None and time.monotonic() > worker.began + limit + GRACE:
                self._give_up(worker, worker.trial, f"it did not end within {limit:g} s")

    def _give_up(self, worker: _Worker, trial: int, detail: str) -> None:
        """Kills a worker and fails its trial."""
        worker.running.kill()
        worker.trial, worker.ending = None, WorkerEnded("recycled")
        with guard_database(self._job.url), contextlib.closing(open_storage(self._job.url)) as storage:
            Takeover(storage).give_up(storage.get_study_id_from_name(self._job.name), trial, "timeout", detail)
        self._hear(TrialGivenUp(trial, "timeout", detail))

    def _make_error(self, failure: WorkerEnded) -> SearchcnnError:
        kind = getattr(errors, failure.error, None)
        if isinstance(kind, type) and issubclass(kind, SearchcnnError):
            return kind(failure.message)
        log = self._job.workspace.log(self._job.name)
        return StudyFailedError(f"{failure.error}: {failure.message}; {log} has the traceback")

    def _end(self) -> None:
        """Tells the workers to stop, and hears what they still say for a while."""
        for worker in self._workers:
            worker.running.stop()
        deadline = time.monotonic() + TIME_TO_STOP
        while self._workers and time.monotonic() < deadline:
            self._read_event()
        self._kill()
        self._workers.clear()

    def _kill(self) -> None:
        for worker in self._workers:
            worker.running.kill()
