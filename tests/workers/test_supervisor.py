"""Searches in worker processes that are killed, that hang, and that do what no process should."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from searchcnn.errors import PluginError
from searchcnn.events import (
    EpochFinished,
    EpochsRecalled,
    Event,
    Outcome,
    StudyOpened,
    TrialFinished,
    TrialGivenUp,
    TrialStarted,
    Trouble,
    WorkerEnded,
    decode,
    encode,
)
from searchcnn.job import Job
from searchcnn.store import StoredStudy, StudySummary, open_storage, read_summary
from searchcnn.store.tables import EpochRow, RunRow
from searchcnn.workers import supervisor
from searchcnn.workers.slots import Slot
from searchcnn.workers.supervisor import supervise
from searchcnn.workers.worker import Sender

CPU = Slot("CPU")


class Ear:
    """Keeps what it hears.

    Args:
        on_epoch: Called with each epoch of each trial.
    """

    def __init__(self, on_epoch: Callable[[int, int], None] = lambda trial, epoch: None) -> None:
        self.on_epoch = on_epoch
        self.troubles: list[str] = []
        self.epochs: list[tuple[int, int]] = []
        self.outcomes: dict[int, Outcome] = {}
        self.given_up: list[tuple[int, str, str]] = []

    def hear(self, event: Event) -> None:
        match event:
            case EpochsRecalled(number, epochs):
                self.epochs.extend((number, epoch.number) for epoch in epochs)
            case EpochFinished(number, epoch):
                self.epochs.append((number, epoch.number))
                self.on_epoch(number, epoch.number)
            case TrialFinished(number, outcome):
                self.outcomes[number] = outcome
            case TrialGivenUp(number, reason, detail):
                self.given_up.append((number, reason, detail))
            case Trouble(text):
                self.troubles.append(text)


def summary(study: Job) -> StudySummary:
    return read_summary(study.url, study.name)


@contextlib.contextmanager
def opened(study: Job) -> Iterator[Session]:
    engine = create_engine(study.url)
    with Session(engine) as session:
        yield session
    engine.dispose()


def processes(study: Job) -> list[int]:
    """Returns the processes that work on a study."""
    with opened(study) as session:
        return [run.pid for run in session.scalars(select(RunRow)) if run.is_alive]


def curves(study: Job) -> dict[int, list[int]]:
    """Returns the epochs in the learning curve of each trial, by its number in the order of its making."""
    found: dict[int, list[int]] = {}
    with opened(study) as session:
        for row in session.scalars(select(EpochRow).order_by(EpochRow.trial_id, EpochRow.epoch)):
            found.setdefault(row.trial_id - 1, []).append(row.epoch)
    return found


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_trial_goes_on(tmp_path: Path, make_study: Callable[..., Job]) -> None:
    study = make_study(trials=2)
    victims = {(0, 2), (1, 3)}

    def kill(trial: int, epoch: int) -> None:
        if (trial, epoch) in victims:
            victims.remove((trial, epoch))
            for process in processes(study):
                os.kill(process, signal.SIGKILL)

    ear = Ear(kill)
    supervise(study, [CPU], ear.hear)
    assert ear.troubles == [f"a worker died in trial {n} (SIGKILL); a new one continues" for n in (0, 1)]
    assert [trial.state for trial in summary(study).trials] == ["COMPLETE", "COMPLETE"]
    assert curves(study) == {0: [1, 2, 3, 4], 1: [1, 2, 3, 4]}
    assert not list((tmp_path / "studies" / "study" / "checkpoints").glob("*"))


@pytest.mark.slow
def test_what_no_trial_should_do_is_classified_and_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_study: Callable[..., Job]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(supervisor, "GRACE", 2.0)
    bad = ("exit", "crash", "hang", "memory", "half", "error", "nan")
    settings = ["limits.trial_timeout=10", "search.max_failures=9"]
    study = make_study(trials=len(bad), epochs=1, points=bad, overrides=settings)  # all but "memory" count
    ear = Ear()
    supervise(study, [CPU], ear.hear)
    ended = {
        trial.facts["hyperparameters"]["what"]: (trial.state, trial.facts.get("reason", ""))
        for trial in summary(study).trials
    }
    assert ended == {
        "nothing": ("COMPLETE", ""),
        "exit": ("FAIL", "error"),
        "crash": ("FAIL", "killed"),
        "hang": ("FAIL", "timeout"),
        "memory": ("PRUNED", "out of memory"),
        "half": ("COMPLETE", ""),
        "error": ("FAIL", "error"),
        "nan": ("FAIL", "NaN"),
    }
    died, hung = "its process died 2 times", "it did not end within 10 s"
    assert sorted(event[1:] for event in ear.given_up) == [("killed", died), ("timeout", hung)]


@pytest.mark.slow
def test_an_error_of_a_worker_is_raised(tmp_path: Path, make_study: Callable[..., Job]) -> None:
    study = make_study()
    plugin = tmp_path / "plugins" / "net.py"
    plugin.write_text(plugin.read_text().replace("keras.Input(", "keras.Imput("))
    with pytest.raises(PluginError, match=r"^search space 'net' fails with its default values: AttributeError"):
        supervise(study, [CPU])


STARTED, ENDED = encode(TrialStarted(0)), encode(WorkerEnded("finished"))
DYING = f"""
echo >>starts
case $(wc -l <starts) in
1 | 2 | 3) echo '{STARTED}' ;;
4 | 5) ;;
*) echo '{ENDED}'; exit ;;
esac
kill -9 $$
"""
HANGING = f"""
if mkdir started; then
    echo '{STARTED}'
    exec sleep 1000
fi
echo '{ENDED}'
"""


@pytest.fixture
def workers_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Returns what puts a shell script in the place of the program that workers run."""

    def put(script: str) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "worker").write_text(f"#!/bin/sh\n{script}")
        (tmp_path / "worker").chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "worker"))

    return put


def test_deaths_in_trials_do_not_count_as_deaths_before_a_trial(
    workers_run: Callable[[str], None], make_study: Callable[..., Job]
) -> None:
    workers_run(DYING)
    ear = Ear()
    supervise(make_study(), [CPU], ear.hear)
    in_trial, before = (
        "a worker died in trial 0 (SIGKILL); a new one continues",
        "a worker died (SIGKILL); a new one continues",
    )
    assert ear.troubles == [in_trial] * 3 + [before] * 2


def test_a_trial_that_hangs_is_given_up_and_told(
    workers_run: Callable[[str], None], make_study: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(overrides=["limits.trial_timeout=1"])
    with contextlib.closing(open_storage(study.url)) as storage:
        stored = StoredStudy(storage, study.name, study.config.objective)
        stored.check_identity(study.config.model_dump(), {})
        stored.start_trial()
    monkeypatch.setattr(supervisor, "GRACE", 0.0)
    workers_run(HANGING)
    ear = Ear()
    supervise(study, [CPU], ear.hear)
    detail = "it did not end within 1 s"
    assert (ear.given_up, ear.troubles) == ([(0, "timeout", detail)], [])
    (trial,) = summary(study).trials
    assert (trial.state, trial.facts) == ("FAIL", {"reason": "timeout", "detail": detail})


def test_a_supervisor_hears_of_a_trial_that_a_worker_has_given_up() -> None:
    stream, ear = io.StringIO(), Ear()
    Sender(stream).hear(TrialGivenUp(3, "killed", "its process died 2 times"))
    ear.hear(decode(stream.getvalue()))
    assert ear.given_up == [(3, "killed", "its process died 2 times")]


@pytest.mark.slow
def test_several_workers_keep_to_the_budget(make_study: Callable[..., Job]) -> None:
    study = make_study(trials=7, epochs=1)
    supervise(study, [CPU, CPU, CPU])
    assert [trial.state for trial in summary(study).trials] == ["COMPLETE"] * 7


@pytest.mark.slow
def test_a_stop_ends_the_workers_and_nothing_is_lost(make_study: Callable[..., Job]) -> None:
    study, stop = make_study(epochs=200), threading.Event()
    began = 0.0

    def end(trial: int, epoch: int) -> None:
        nonlocal began
        if epoch == 3:
            began = time.monotonic()
            stop.set()

    supervise(study, [CPU], Ear(end).hear, stop)
    assert time.monotonic() - began < supervisor.TIME_TO_STOP
    assert [trial.state for trial in summary(study).trials] == ["RUNNING"]
    stop.clear()
    ear = Ear(lambda trial, epoch: stop.set())
    supervise(study, [CPU], ear.hear, stop)
    assert ear.epochs[:3] == [(0, 1), (0, 2), (0, 3)]  # from the checkpoint


SCRIPT = """
import sys
from pathlib import Path
from searchcnn.job import Job
from searchcnn.events import EpochFinished
from searchcnn.study import Workspace, load
from searchcnn.workers import search

def hear(event):
    if isinstance(event, EpochFinished):
        print(event.epoch.number, flush=True)

folder = Path(sys.argv[1])
search(Job("study", load(folder / "study.toml"), Workspace(folder)), hear)
"""


@pytest.mark.slow
def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path, make_study: Callable[..., Job]) -> None:
    study = make_study(epochs=3000)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "1\n"
        process.kill()
    deadline = time.monotonic() + 30
    while processes(study) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not processes(study)
    (epochs,) = curves(study).values()
    assert epochs == list(range(1, len(epochs) + 1))


class Scripted:
    """A worker that says what is in a script, and then has ended."""

    def __init__(self, events: list[Event], code: int) -> None:
        self._events, self._code = events, code
        self.calls: list[str] = []

    def read_lines(self) -> Iterator[str]:
        yield from map(encode, self._events)

    def stop(self) -> None:
        self.calls.append("stop")

    def kill(self) -> None:
        self.calls.append("kill")

    def wait(self) -> int:
        return self._code


class ScriptedLauncher:
    """Starts one worker after the other, wherever they run."""

    def __init__(self, *workers: Scripted) -> None:
        self._workers = list(workers)
        self.slots: list[str] = []
        self.began: list[float] = []

    def start(self, job: Job, slot: Slot) -> Scripted:
        self.slots.append(slot.name)
        self.began.append(job.began)
        return self._workers.pop(0)


def test_workers_may_run_anywhere(make_study: Callable[..., Job]) -> None:
    """A launcher is all that differs: here one worker dies, and the next one ends the study."""
    end = TrialFinished(0, Outcome("COMPLETE", 0.5))
    launcher = ScriptedLauncher(
        Scripted([StudyOpened(), TrialStarted(0)], -9), Scripted([TrialStarted(0), end, WorkerEnded("finished")], 0)
    )
    heard: list[Event] = []
    job = replace(make_study(), began=1000.0)
    supervise(job, [Slot("far away")], heard.append, launcher=launcher)
    assert launcher.slots == ["far away", "far away"]
    assert launcher.began[0] == job.began < launcher.began[1]  # the time until now is not the new one's, too
    lost = Trouble("a worker died in trial 0 (SIGKILL); a new one continues")
    assert heard == [StudyOpened(), TrialStarted(0), lost, TrialStarted(0), end]
