"""A long search takes no more memory and no more files than a short one."""

import contextlib
import os
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from searchcnn.events import Event, TrialFinished
from searchcnn.job import Job
from searchcnn.workers.slots import Slot
from searchcnn.workers.supervisor import supervise
from searchcnn.workers.worker import MAX_TRIALS

WARM_UP = 20
"""Trials after which a process has loaded and compiled what every trial needs."""
MAX_SLOPE = 1.0
"""MB by which a process may grow with each trial."""
MB = 2**20


class Scale:
    """Weighs this process, the worker and the folder of results after each trial.

    Attributes:
        own: Memory of this process, which is the supervisor.
        workers: Memory of each worker, by its process.
        files: Number of files.
    """

    def __init__(self, study: Job) -> None:
        self.own: list[float] = []
        self.workers: Mapping[int, list[float]] = defaultdict(list)
        self.files: list[int] = []
        self._study = study

    def hear(self, event: Event) -> None:
        if isinstance(event, TrialFinished):
            assert event.outcome.state == "COMPLETE", event.outcome
            self._weigh()

    def _weigh(self) -> None:
        self.own.append(resident(os.getpid()))
        self.files.append(sum(path.is_file() for path in self._study.workspace.studies.rglob("*")))
        worker = self._worker()
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it may have ended with its last trial
            self.workers[worker].append(resident(worker))

    def _worker(self) -> int:
        with contextlib.closing(sqlite3.connect(self._study.workspace.database(self._study.name))) as connection:
            (process,) = connection.execute("SELECT pid FROM searchcnn_runs ORDER BY run_id DESC LIMIT 1").fetchone()
        return int(process)


def resident(process: int) -> float:
    """Returns the memory of a process in MB."""
    pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / MB


def slope(memory: Sequence[float]) -> float:
    """Returns by how many MB a process grows with each trial when it is warm."""
    warm = memory[WARM_UP:]
    return float(np.polyfit(range(len(warm)), warm, 1)[0])


def growth(memory: Sequence[float]) -> str:
    ends = f"from {memory[WARM_UP]:.0f} to {memory[-1]:.0f} MB"
    return f"{slope(memory):+.3f} MB per trial, {ends} in the trials {WARM_UP + 1} to {len(memory)}"


@pytest.mark.parametrize(
    "trials", [pytest.param(40, marks=pytest.mark.slow), pytest.param(300, marks=pytest.mark.long)]
)
def test_memory_and_files_do_not_grow_with_trials(
    trials: int, make_study: Callable[..., Job], capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(trials=trials, epochs=1, overrides=["training.learning_rate={min=0.001, max=0.1, log=true}"])
    scale = Scale(study)
    supervise(study, [Slot("CPU")], scale.hear)
    lives = [memory for memory in scale.workers.values() if len(memory) > WARM_UP + 2]
    with capsys.disabled():
        print(f"\nsupervisor: {growth(scale.own)}")
        for number, memory in enumerate(lives):
            print(f"worker {number}: {growth(memory)}")
        print(f"files: at most {max(scale.files[:WARM_UP])} in the first {WARM_UP} trials, {max(scale.files)} in all")
    assert len(scale.own) == trials
    assert len(lives) == max(1, trials // MAX_TRIALS)
    assert slope(scale.own) < MAX_SLOPE
    assert max(map(slope, lives)) < MAX_SLOPE
    assert max(scale.files[WARM_UP:]) <= max(scale.files[:WARM_UP]) + 2  # one that is being replaced
