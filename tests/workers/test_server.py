"""Workers on one PostgreSQL server: they share a budget, join from other shells, and outlive an outage."""

import dataclasses
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from searchcnn.cli.commands import INTERRUPTED
from searchcnn.events import EpochFinished, Event, StudyOpened, TrialFinished, Trouble
from searchcnn.job import Job
from searchcnn.store import read_summary
from searchcnn.store.tables import EpochRow, LeaseRow
from searchcnn.workers.slots import Slot
from searchcnn.workers.supervisor import supervise
from tests.postgres import PostgreSQL

pytestmark = pytest.mark.slow

OUTAGE = 15.0
"""Seconds: longer than a worker takes to start."""


class Ear:
    """Stops the server when a trial reaches its third epoch, and starts it again later.

    Args:
        server: The server.
        kills: Whether it kills the worker, too, so that another one starts while the server is away.
    """

    def __init__(self, server: PostgreSQL, kills: bool) -> None:
        self.troubles: list[str] = []
        self.epochs_meanwhile = 0
        self.back: threading.Timer | None = None
        self._server, self._kills = server, kills

    def hear(self, event: Event) -> None:
        if isinstance(event, EpochFinished):
            self._hear_of_epoch(event.epoch.number)
        elif isinstance(event, Trouble):
            self.troubles.append(event.text)

    def _hear_of_epoch(self, number: int) -> None:
        if number == 3 and self.back is None:
            self._server.stop()
            self.back = threading.Timer(OUTAGE, self._server.start)
            self.back.start()
            for worker in psutil.Process().children() if self._kills else ():
                worker.kill()
        elif self.back is not None and self.back.is_alive():
            self.epochs_meanwhile += 1


def curves(study: Job) -> list[list[int]]:
    engine = create_engine(study.url)
    with Session(engine) as session:
        rows = session.scalars(select(EpochRow).order_by(EpochRow.trial_id, EpochRow.epoch)).all()
    engine.dispose()
    return [[row.epoch for row in rows if row.trial_id == trial] for trial in sorted({row.trial_id for row in rows})]


def runs(study: Job) -> set[int]:
    """Returns the runs that have begun trials."""
    engine = create_engine(study.url)
    with Session(engine) as session:
        found = set(session.scalars(select(LeaseRow.run_id)))
    engine.dispose()
    return found


@pytest.mark.parametrize("kills", [False, True])
def test_a_search_outlives_its_server(make_study: Callable[..., Job], postgres: PostgreSQL, kills: bool) -> None:
    url = postgres.new().render_as_string(hide_password=False)
    study, ear = dataclasses.replace(make_study(trials=3, epochs=20), storage=url), Ear(postgres, kills)
    supervise(study, [Slot("CPU")], ear.hear)
    expected = "a worker died in trial 0 (SIGKILL)" if kills else "the database does not answer ("
    assert any(trouble.startswith(expected) for trouble in ear.troubles)
    assert kills or ear.epochs_meanwhile
    assert [trial.state for trial in read_summary(study.url, study.name).trials] == ["COMPLETE"] * 3
    assert curves(study) == [list(range(1, 21))] * 3


def test_another_shell_joins(make_study: Callable[..., Job], postgres: PostgreSQL, tmp_path: Path) -> None:
    url = postgres.new().render_as_string(hide_password=False)
    study = dataclasses.replace(make_study(trials=1000, epochs=3), storage=url)
    joined: list[subprocess.Popen[bytes]] = []

    def hear(event: Event) -> None:
        if isinstance(event, StudyOpened):
            command = [sys.executable, "-m", "searchcnn", "worker", "--study", "study", "--storage", url, "--quiet"]
            joined.append(subprocess.Popen(command, cwd=tmp_path))
        elif isinstance(event, TrialFinished) and len(runs(study)) == 2:
            stop.set()

    stop = threading.Event()
    supervise(study, [Slot("CPU")], hear, stop)
    joined[0].terminate()
    assert joined[0].wait(30) == INTERRUPTED
    assert set(map(tuple, curves(study))) <= {(1,), (1, 2), (1, 2, 3)}
    states = Counter(trial.state for trial in read_summary(study.url, study.name).trials)
    assert states["COMPLETE"] > 1
    assert states.total() - states["COMPLETE"] == states["RUNNING"] <= 2
