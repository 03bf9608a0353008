"""A search whose processes are killed again and again loses nothing that was finished, and goes on."""

import contextlib
import json
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from searchcnn.job import Job
from searchcnn.sources import load_dataset

SETTINGS = (
    "training.batch_size=4",  # an epoch takes long enough for a checkpoint after each one
    "training.learning_rate={min = 0.0003, max = 0.1, log = true}",
    "search.pruner={name = 'SuccessiveHalvingPruner', min_resource = 3, reduction_factor = 2}",
    "search.max_failures=1000",
)
ENDLESS = 100_000
"""Trials that no search here comes to."""
MORE = 4
"""Trials after the last kill."""
PAUSE = 10.0
"""Most seconds between two kills, beside those in which there is nothing new to lose."""
TICK = 0.1
"""Seconds between two looks at the database."""
PART_OF_ALL = 0.1
"""Part of the kills that kill the supervisor and all workers."""
PATIENCE = 180.0
"""Seconds in which a search has to show something new."""

TRIALS = """
    SELECT number, state, run_id, (SELECT value_json FROM trial_user_attributes AS a
                                   WHERE a.trial_id = t.trial_id AND key = 'reason')
    FROM trials AS t LEFT JOIN searchcnn_leases USING (trial_id) WHERE state != 'WAITING'
"""
CURVES = "SELECT number, epoch, seconds, metrics FROM searchcnn_epochs JOIN trials USING (trial_id)"
REPORTS = "SELECT number, step, intermediate_value FROM trial_intermediate_values JOIN trials USING (trial_id)"
VALUES = "SELECT number, value FROM trial_values JOIN trials USING (trial_id)"
PARAMS = "SELECT number, param_name, param_value FROM trial_params JOIN trials USING (trial_id) ORDER BY param_name"
RUNS = "SELECT pid, run_id FROM searchcnn_runs ORDER BY run_id"


@dataclass
class Row:
    """A trial that was begun.

    Attributes:
        state: Its state.
        run: The run that works on it, or did.
        reason: Why it was pruned or failed.
        values: Its results.
        params: Names and values of its parameters.
        seconds: Seconds of each epoch of its learning curve.
        curve: Objective of each epoch.
        reports: Best objective up to each epoch, as Optuna has it.
    """

    state: str
    run: int
    reason: str
    values: list[float] = field(default_factory=list)
    params: list[tuple[str, float]] = field(default_factory=list)
    seconds: dict[int, float] = field(default_factory=dict)
    curve: dict[int, float] = field(default_factory=dict)
    reports: dict[int, float] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        return self.state != "RUNNING"


@dataclass(frozen=True)
class Database:
    """What a database holds at one moment: its trials, the run of each process, and the numbers of all trials."""

    trials: Mapping[int, Row]
    runs: Mapping[int, int]
    numbers: Sequence[int]

    @property
    def finished(self) -> dict[int, Row]:
        return {number: row for number, row in self.trials.items() if row.is_finished}

    def at_work(self, process: int) -> int | None:
        """Returns the trial that a process works on."""
        run = self.runs.get(process)
        return next((number for number, row in self.trials.items() if not row.is_finished and row.run == run), None)

    def progress(self, process: int) -> int:
        """Returns the epochs that are stored of the trial that a process works on."""
        number = self.at_work(process)
        return 0 if number is None else len(self.trials[number].seconds)


def read(path: Path) -> Database:
    if not path.exists():
        return Database({}, {}, [])
    with contextlib.closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
        connection.execute("BEGIN")  # all of it at one moment
        try:
            trials = connection.execute(TRIALS).fetchall()
            database = Database(
                {number: Row(state, run, json.loads(reason or '""')) for number, state, run, reason in trials},
                dict(connection.execute(RUNS)),
                [number for number, *_ in trials],
            )
            _add_facts(database.trials, connection)
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # the first worker is about to make them
                return Database({}, {}, [])
            raise
    return database


def _add_facts(trials: Mapping[int, Row], connection: sqlite3.Connection) -> None:
    for number, value in connection.execute(VALUES):
        trials[number].values.append(value)
    for number, name, value in connection.execute(PARAMS):
        trials[number].params.append((name, value))
    for number, epoch, seconds, metrics in connection.execute(CURVES):
        trials[number].seconds[epoch] = seconds
        trials[number].curve[epoch] = json.loads(metrics)["val_accuracy"]
    for number, step, value in connection.execute(REPORTS):
        trials[number].reports[step] = value


@dataclass
class Interruption:
    """What a kill has done to a trial that was at work.

    Attributes:
        trial: The trial.
        run: The run that was killed.
        seconds: Seconds of each epoch that was stored when it was killed.
        at: When it was killed, by `time.monotonic`.
        is_of_all: Whether the supervisor and the other workers were killed too.
        taken_over: Seconds from then until another run had taken the trial over; None if none has.
        goes_on: Seconds from then until it was further than before.
        again: Epochs that were stored and were trained once more.
    """

    trial: int
    run: int
    seconds: Mapping[int, float]
    at: float
    is_of_all: bool
    taken_over: float | None = None
    goes_on: float | None = None
    again: set[int] = field(default_factory=set)

    def observe(self, row: Row) -> None:
        """Sees what has become of the trial; an epoch that was not trained again has the same seconds as before."""
        passed = time.monotonic() - self.at
        if row.run != self.run and self.taken_over is None:
            self.taken_over = passed
        self.again |= {epoch for epoch, seconds in row.seconds.items() if self.seconds.get(epoch, seconds) != seconds}
        if self.goes_on is None and (self.again or row.seconds.keys() - self.seconds.keys()):
            self.goes_on = passed


class Killer:
    """Searches in processes of its own and kills them.

    Args:
        study: What to search.
        kills: How often to kill.
        seed: Of the moments and of the victims.
    """

    def __init__(self, study: Job, kills: int, seed: int) -> None:
        self.kills = 0
        self.kills_of_all = 0
        self.interruptions: list[Interruption] = []
        self.finished: dict[int, Row] = {}
        self.lost: list[str] = []
        self._folder = study.workspace.root
        self._path = study.workspace.database(study.name)
        self._most = kills
        self._random = random.Random(seed)
        self._seen = read(self._path)
        self._ended_before = 0

    def run(self) -> None:
        """Kills, and lets the search end afterwards."""
        while self.kills < self._most:
            with self._searching(ENDLESS) as search:
                while search.poll() is None and self.kills < self._most:
                    self._kill(search, self._random.choice(self._wait(search)))
        with self._searching(len(self._seen.trials) + MORE) as search:
            while search.poll() is None:
                self._look()
        assert search.returncode == 0, self._said()
        self._look()

    @contextlib.contextmanager
    def _searching(self, trials: int) -> Iterator[subprocess.Popen[bytes]]:
        settings = [part for setting in SETTINGS for part in ("--set", setting)]
        command = [sys.executable, "-m", "searchcnn", "optimize", "--study", "study.toml", "--trials", str(trials)]
        with (self._folder / "output.txt").open("ab") as output:
            search = subprocess.Popen(
                [*command, "--workers", "2", "--gpus", "none", *settings],
                cwd=self._folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield search
        finally:
            search.kill()
            search.wait()

    def _said(self) -> str:
        return (self._folder / "output.txt").read_text()[-3000:]

    def _look(self) -> None:
        """Reads the database, and compares it with what was there."""
        time.sleep(TICK)
        self._seen = read(self._path)
        now = self._seen.finished
        self.lost += [f"{n}: {row} -> {now.get(n)}" for n, row in self.finished.items() if now.get(n) != row]
        self.finished |= now
        latest = {interruption.trial: interruption for interruption in self.interruptions}
        for interruption in latest.values():
            interruption.observe(self._seen.trials[interruption.trial])

    def _wait(self, search: subprocess.Popen[bytes]) -> list[int]:
        """Waits for a random time, and until there are workers that may be killed; returns them."""
        until = time.monotonic() + self._random.uniform(0, PAUSE)
        while True:
            self._look()
            assert search.poll() is None, self._said()
            assert time.monotonic() < until + PATIENCE, self._said()
            victims = self._victims(search)
            if victims and time.monotonic() > until:
                return victims

    def _victims(self, search: subprocess.Popen[bytes]) -> list[int]:
        """Returns all workers if a trial has ended since the last kill, and otherwise those with something new to lose.

        The search gives up, as it should, if workers die one after the other and no trial ends.
        """
        workers = children(search.pid)
        if self._ended() > self._ended_before:
            return workers
        known = {interruption.trial for interruption in self.interruptions}
        return [worker for worker in workers if self._seen.progress(worker) and self._seen.at_work(worker) not in known]

    def _ended(self) -> int:
        return sum(row.reason != "killed" for row in self._seen.finished.values())

    def _kill(self, search: subprocess.Popen[bytes], victim: int) -> None:
        """Kills a worker, or everything: now and then, and in the end, because the last search has another budget."""
        is_of_all = self.kills == self._most - 1 or self._random.random() < PART_OF_ALL
        victims = [victim]
        if is_of_all:
            os.kill(search.pid, signal.SIGSTOP)
            victims = children(search.pid)
        for process in victims:
            os.kill(process, signal.SIGSTOP)  # nothing is written between the last look and the kill
        self._look()
        if is_of_all:
            search.kill()
        for process in victims:
            os.kill(process, signal.SIGKILL)
        self._note(victims, is_of_all)
        if is_of_all:
            search.wait()
            self.kills_of_all += 1

    def _note(self, victims: Collection[int], is_of_all: bool) -> None:
        self.kills += 1
        self._ended_before = self._ended()
        for process in victims:
            number = self._seen.at_work(process)
            if number is not None:
                row = self._seen.trials[number]
                self.interruptions.append(Interruption(number, row.run, row.seconds, time.monotonic(), is_of_all))


def children(process: int) -> list[int]:
    """Returns the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.parametrize("kills", [pytest.param(4, marks=pytest.mark.slow), pytest.param(100, marks=pytest.mark.long)])
def test_kills_lose_nothing_that_was_finished(
    kills: int, make_study: Callable[..., Job], capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(epochs=6, overrides=SETTINGS)
    killer = Killer(study, kills, seed=kills)
    began = time.monotonic()
    killer.run()
    database = read(study.workspace.database(study.name))
    with capsys.disabled():
        print(f"\n{summary(killer, database, time.monotonic() - began)}")
    assert not killer.lost
    check_trials(database)
    check_interruptions(killer.interruptions, database)
    check_best_model(study, database)
    check_files(study, database)


def summary(killer: Killer, database: Database, seconds: float) -> str:
    rows, again = database.trials.values(), [len(interruption.again) for interruption in killer.interruptions]
    states = Counter(row.state for row in rows)
    return (
        f"{killer.kills} kills, {killer.kills_of_all} of them of everything, in {seconds:.0f} s; "
        f"{len(killer.interruptions)} trials interrupted; {len(database.finished)} trials finished "
        f"({', '.join(f'{count} {state}' for state, count in sorted(states.items()))}); "
        f"finished trials lost or changed: {len(killer.lost)}; "
        f"stored epochs trained again: {sum(again)}, at most {max(again, default=0)} for a kill; "
        f"given up as killed: {sum(row.reason == 'killed' for row in rows)}; duplicates: {len(duplicates(database))}; "
        f"seconds from the kill of a worker until its trial goes on: {times(killer, is_of_all=False)}; "
        f"from a kill of everything: {times(killer, is_of_all=True)}"
    )


def times(killer: Killer, is_of_all: bool) -> str:
    interruptions = [interruption for interruption in killer.interruptions if interruption.is_of_all == is_of_all]
    return f"taken over {spread(interruptions, 'taken_over')}, next epoch {spread(interruptions, 'goes_on')}"


def spread(interruptions: Collection[Interruption], what: str) -> str:
    known = [value for interruption in interruptions if (value := getattr(interruption, what)) is not None]
    return f"median {median(known):.1f}, most {max(known):.1f} ({len(known)} of {len(interruptions)})" if known else "-"


def duplicates(database: Database) -> list[int]:
    """Returns the trials that are there twice, have two results, or repeat an earlier one's point and scores."""
    counts = Counter(database.numbers)
    found = [number for number, row in database.trials.items() if counts[number] > 1 or len(row.values) > 1]
    seen: set[Any] = set()
    for number, row in sorted(database.trials.items()):
        content = (tuple(row.params), tuple(row.curve.values()))
        found += [number] if row.curve and content in seen else []
        seen.add(content)
    return found


def check_trials(database: Database) -> None:
    rows = database.trials
    assert sorted(database.numbers) == list(range(len(rows)))  # so many were begun as ended, and each once
    assert not duplicates(database)
    assert {row.state for row in rows.values()} <= {"COMPLETE", "PRUNED", "FAIL"}
    assert all(row.reason == "killed" for row in rows.values() if row.state == "FAIL")
    for number, row in rows.items():
        epochs = list(range(1, len(row.curve) + 1))
        assert sorted(row.curve) == sorted(row.reports) == epochs, number
        best = [max(row.curve[epoch] for epoch in range(1, last + 1)) for last in epochs]
        assert [row.reports[epoch] for epoch in epochs] == pytest.approx(best), number
        if row.state == "COMPLETE":
            assert row.values == pytest.approx(best[-1:]), number


def check_interruptions(interruptions: Collection[Interruption], database: Database) -> None:
    for interruption in interruptions:
        row = database.trials[interruption.trial]
        assert len(interruption.again) <= 1, interruption
        if row.reason != "killed":
            assert interruption.seconds.keys() <= row.seconds.keys(), interruption
            assert interruption.taken_over is not None, interruption


def check_best_model(study: Job, database: Database) -> None:
    import keras

    path = study.workspace.best_model(study.name)
    card = json.loads(path.with_suffix(".json").read_text())
    best = max(value for row in database.trials.values() for value in row.values)
    assert database.trials[card["trial"]].values == [best]
    assert card["scores"]["validation"]["accuracy"] == best
    images = load_dataset(study.config.data, study.config.seed).validation
    predicted = keras.models.load_model(path).predict(images.images, verbose=0)
    assert math.isclose(np.mean(np.argmax(predicted, axis=1) == images.labels), best, abs_tol=1e-6)


def check_files(study: Job, database: Database) -> None:
    folder = study.workspace.best_model(study.name).parent
    models = [path for path in (folder / "models").iterdir() if path.suffix == ".keras"]
    assert len(models) <= study.config.search.keep_models
    assert not [str(path) for path in study.workspace.root.rglob(".*")]
    assert not list(study.workspace.checkpoints(study.name).glob("*"))
    with contextlib.closing(sqlite3.connect(study.workspace.database(study.name))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
