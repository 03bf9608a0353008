"""A database server that is stopped and started, answers that are lost, and places where a database cannot be used."""

import socket
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import psycopg
import pytest
from optuna.trial import TrialState
from sqlalchemy import update
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session

from searchcnn.errors import StoreError
from searchcnn.events import Epoch, Event, Trouble
from searchcnn.store import StoredStudy, connection, guard_database, open_storage, parse_url, read_summary, run
from searchcnn.store.database import find_file_system
from searchcnn.store.tables import GRACE, RunRow, read_clock
from tests.postgres import PostgreSQL

Open = Callable[..., StoredStudy]

on_server = pytest.mark.parametrize("url", ["postgresql"], indirect=True)


def epoch(number: int) -> Epoch:
    return Epoch(number, {"val_accuracy": number / 10}, None, 1.0)


@on_server
def test_training_goes_on_while_the_server_is_away(open_study: Open, postgres: PostgreSQL) -> None:
    heard: list[Event] = []
    study = open_study(hear=heard.append)
    trial = study.start_trial()
    study.add_epoch(trial, epoch(1), 0.1)
    postgres.stop()
    try:
        for number in (2, 3):
            study.add_epoch(trial, epoch(number), number / 10)
            assert not study.should_prune(trial)
    finally:
        postgres.start()
    (trouble,) = heard
    assert isinstance(trouble, Trouble)
    assert trouble.text.startswith("the database does not answer (")
    assert "\n" not in trouble.text
    study.add_epoch(trial, epoch(4), 0.4)
    assert [epoch.number for epoch in study.read_curve(0)] == [1, 2, 3, 4]
    assert list(study.list_trials()[0].intermediate_values) == [1, 2, 3, 4]


@on_server
@pytest.mark.slow
def test_what_needs_an_answer_waits_for_it(open_study: Open, postgres: PostgreSQL) -> None:
    study = open_study()
    with study.run():
        trial = study.start_trial()
        trial.suggest_float("x", 0, 1)
        postgres.stop()
        back = threading.Timer(1.0, postgres.start)
        back.start()
        study.finish(trial, TrialState.COMPLETE, 0.5, {})
        back.join()
        assert study.start_trial().number == 1
    assert [trial.state.name for trial in open_study().list_trials()] == ["COMPLETE", "RUNNING"]


@on_server
def test_patience_ends(url: URL, open_study: Open, postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PATIENCE", 0.2)
    study = open_study()
    postgres.stop()
    try:
        with (
            pytest.raises(
                StoreError,
                match=r"^postgresql\+psycopg://test@.*: .*; is the server running, and the URL right\? "
                r"What was finished",
            ) as raised,
            guard_database(url),
        ):
            study.start_trial()
        assert "\n" not in str(raised.value)
        for use in (open_storage, lambda url: read_summary(url, "x")):  # at the start nobody waits
            with pytest.raises(StoreError, match="failed: No such file or directory"):
                use(url)
    finally:
        postgres.start()


@pytest.fixture
def losing(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Returns a function after which the answer to the next transaction is lost, but not the transaction."""
    commit, lost = psycopg.Connection.commit, list[bool]()

    def commit_without_answer(self: Any) -> None:
        commit(self)
        if lost:
            lost.clear()
            self.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(psycopg.Connection, "commit", commit_without_answer)
    return lambda: lost.append(True)


@on_server
@pytest.mark.slow
def test_a_lost_answer_does_no_harm(open_study: Open, losing: Callable[[], None]) -> None:
    study = open_study()
    losing()
    study.begin([("test", {"x": 1})])
    with study.run():
        for number in (0, 1):  # a waiting one and a new one
            losing()
            trial = study.start_trial()
            assert trial.number == number
            trial.suggest_float("x", 0, 1)
            losing()
            study.flush(trial)
            for step in (1, 2):
                losing()
                study.add_epoch(trial, epoch(step), step / 10)
            losing()
            study.finish(trial, TrialState.COMPLETE, 0.2, {"seen": True})
    trials = open_study().list_trials()
    assert [(trial.state.name, trial.value, list(trial.params)) for trial in trials] == [("COMPLETE", 0.2, ["x"])] * 2
    assert [list(trial.intermediate_values) for trial in trials] == [[1, 2]] * 2


@on_server
def test_who_was_away_takes_nothing_from_those_who_were_too(open_study: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = open_study(), open_study()
    with first.run(), second.run():
        trial = first.start_trial()
        with Session(first.storage.engine) as session, session.begin():
            session.execute(update(RunRow).values(beat_at=read_clock() - 2 * GRACE))
        second.connection.note_loss(OSError("away"))
        assert second.start_trial().number == trial.number + 1
        monkeypatch.setattr(connection, "SETTLING", 0.0)
        assert second.start_trial().number == trial.number  # it has had time to say that it lives


@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
def test_four_that_begin_a_study_at_the_same_moment(open_study: Open) -> None:
    points = [("test", {"x": x}) for x in range(5)]

    def start(_: int) -> None:
        study = open_study()
        study.check_identity({}, {"data": "same"})
        study.begin(points)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(start, range(4)))
    assert [trial.user_attrs["preset"] for trial in open_study().list_trials()] == [point for _, point in points]


def test_a_file_is_for_one_host(open_study: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study()
    with study.run():
        monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
        there = open_study()
        with (
            pytest.raises(StoreError, match=r"process \d+ on .* one host at a time; use a database server, .*"),
            there.run(),
        ):
            pass


@on_server
def test_a_server_is_for_many_hosts_whose_clocks_agree(open_study: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    study = open_study()
    with study.run():
        monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
        with open_study().run():
            pass
        monkeypatch.setattr(run, "read_clock", lambda: read_clock() - timedelta(seconds=90))
        with (
            pytest.raises(StoreError, match="the clock of elsewhere is 90 s behind the database's"),
            open_study().run(),
        ):
            pass


@pytest.mark.parametrize(
    ("kind", "refused"), [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False), ("fuse.x", False)]
)
def test_network_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, refused: bool) -> None:
    mounts = [("/", "nfs"), (str(tmp_path), kind), (f"{tmp_path}/other", "nfs"), (f"{tmp_path}/data", "ext4")]
    partitions = [SimpleNamespace(mountpoint=mountpoint, fstype=what) for mountpoint, what in mounts]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: partitions)
    open_storage(parse_url(f"sqlite:///{tmp_path}/data/x.db")).close()
    url = parse_url(f"sqlite:///{tmp_path}/database/x.db")
    if refused:
        with pytest.raises(StoreError, match=r"network file system \(.*\), .* a file on a local disk, .* postgresql"):
            open_storage(url)
        assert not Path(str(url.database)).exists()
    else:
        open_storage(url).close()


def test_the_file_system_of_a_file() -> None:
    process = subprocess.run(
        ["stat", "--file-system", "--format=%T", "/proc"], capture_output=True, text=True, check=True
    )
    assert find_file_system(Path("/proc/none")) == process.stdout.strip()
