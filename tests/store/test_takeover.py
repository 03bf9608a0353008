"""A search that is killed, and the run that continues it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from optuna.trial import TrialState
from sqlalchemy import select, update
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session

from searchcnn.events import Epoch, Event, TrialGivenUp
from searchcnn.store import LeaseLostError, StoredStudy, read_summary
from searchcnn.store.optuna_private import get_trial_id
from searchcnn.store.tables import GRACE, LeaseRow, RunRow, read_clock

Open = Callable[..., StoredStudy]

CONFIG = {"spaces": ["net"], "data": {"name": "digits"}, "budget": {"trials": 3}}

pytestmark = pytest.mark.parametrize(
    "url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True
)

ENGINE = """
import sys, time
from optuna.distributions import FloatDistribution
from searchcnn.backend import own_process
from searchcnn.search import Budget, Evaluation, Search, make_pruner, make_sampler
from searchcnn.events import Epoch
from searchcnn.store import StoredStudy, open_storage, parse_url
from searchcnn.study import ComponentConfig, Objective

own_process()
sampler = make_sampler(ComponentConfig(name="TPESampler"), 3)
pruner = make_pruner(ComponentConfig(name="SuccessiveHalvingPruner"), 4)
study = StoredStudy(open_storage(parse_url(sys.argv[1])), "x", Objective("val_accuracy", "maximize"), sampler, pruner)
sleep_in = int(sys.argv[2])


def evaluate(trial):
    x = trial.suggest("x", FloatDistribution(0, 1))
    trial.describe(space="fake", hyperparameters={"x": x})
    for epoch in range(1, 5):
        trial.report(Epoch(epoch, {"val_accuracy": x * epoch}, None, 0.1), x * epoch)
        print(trial.number, epoch, flush=True)
        if trial.number == sleep_in and epoch == 2:
            time.sleep(600)
    return Evaluation(trial.best)


with study.run():
    Search(study, sampler, evaluate, Budget(4, None), seed=3).run()
"""


def start(url: URL, sleep_in: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ENGINE, url.render_as_string(hide_password=False), str(sleep_in)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout
    for printed in process.stdout:
        if printed == line + "\n":
            return
    pytest.fail(f"ended without {line}: {process.communicate()[1]}")


def test_a_killed_search_continues_with_the_same_trial(url: URL, open_study: Open) -> None:
    first = start(url, sleep_in=2)
    try:
        wait_for(first, "2 2")
        study = open_study()
        before = study.list_trials()[2]
        assert (before.state, list(before.intermediate_values)) == (TrialState.RUNNING, [1, 2])
        with study.run():
            other = study.start_trial()  # the trial of a living run is not taken
            assert other.number == 3
            study.finish(other, TrialState.COMPLETE, 0.1, {})
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()
    second = start(url, sleep_in=-1)
    stdout, stderr = second.communicate()
    assert (second.returncode, stderr) == (0, "")
    assert stdout.splitlines() == ["2 1", "2 2", "2 3", "2 4"]
    after = open_study().list_trials()
    assert [trial.state for trial in after] == [TrialState.COMPLETE] * 4
    assert (after[2].number, after[2].params) == (before.number, before.params)
    assert after[2].user_attrs["hyperparameters"] == before.params
    assert [epoch.number for epoch in study.read_curve(2)] == [1, 2, 3, 4]
    assert list(after[2].intermediate_values) == [1, 2, 3, 4]


@pytest.fixture
def abandoned(open_study: Open) -> StoredStudy:
    """Returns a study with a trial at its second epoch, left by a run that has ended."""
    study = open_study()
    with study.run():
        trial = study.start_trial()
        trial.suggest_float("x", 0, 1)
        for number in (1, 2):
            study.add_epoch(trial, Epoch(number, {}, None, 0.1), 0.5)
        study.storage.set_trial_system_attr(get_trial_id(trial), "completed_rung_0", 0.5)
        study.storage.set_trial_system_attr(get_trial_id(trial), "other", 1)
        study.flush(trial)
    return study


def test_what_unfinished_training_left_is_taken_back(abandoned: StoredStudy, open_study: Open) -> None:
    study = open_study()
    with study.run():
        trial = study.start_trial()
        assert (trial.number, list(trial.params)) == (0, ["x"])
        assert trial.params == abandoned.list_trials()[0].params
        assert study.read_curve(0) == []
        assert study.list_trials()[0].intermediate_values == {}
        assert study.storage.get_trial_system_attrs(get_trial_id(trial)) == {"other": 1}
        assert study.start_trial().number == 1  # it is leased to this run now
    with Session(study.storage.engine) as session:
        leases = session.scalars(select(LeaseRow.run_id).order_by(LeaseRow.trial_id)).all()
    assert leases == [2, 2]


def age(study: StoredStudy, by: timedelta, run: int = 1, **values: object) -> None:
    row = update(RunRow).where(RunRow.run_id == run)
    with Session(study.storage.engine) as session, session.begin():
        session.execute(row.values(ended=False, beat_at=read_clock() - by, **values))


@pytest.mark.parametrize(
    ("by", "host", "pid", "taken"),
    [
        (timedelta(0), None, None, False),
        (GRACE + timedelta(seconds=5), None, None, True),
        (timedelta(0), None, 2**22 + 1, True),  # above Linux's largest process number
        (timedelta(0), "elsewhere", 2**22 + 1, False),
        (GRACE + timedelta(seconds=5), "elsewhere", None, True),
    ],
    ids=["alive", "silent", "killed", "alive elsewhere", "silent elsewhere"],
)
def test_which_runs_are_dead(
    abandoned: StoredStudy, open_study: Open, by: timedelta, host: str | None, pid: int | None, taken: bool
) -> None:
    study = open_study()
    with study.run():
        known: dict[str, Any] = {key: value for key, value in (("host", host), ("pid", pid)) if value is not None}
        age(abandoned, by, **known)
        assert study.start_trial().number == (0 if taken else 1)


def test_a_trial_of_optunas_own_loop_that_died_is_taken_over(open_study: Open) -> None:
    study = open_study()
    study.optuna.ask()
    assert study.storage.leases.run_id is None
    with study.run():
        assert study.start_trial().number == 0


def test_each_process_has_a_row_and_beats(open_study: Open) -> None:
    study = open_study()
    with study.run() as run:
        with Session(study.storage.engine) as session:
            row = session.scalars(select(RunRow)).one()
        assert (row.pid, row.ended, row.is_alive) == (os.getpid(), False, True)
        age(study, timedelta(seconds=50))
        run.beat()
    with Session(study.storage.engine) as session:
        row = session.scalars(select(RunRow)).one()
    assert (row.ended, row.is_alive) == (True, False)
    assert read_clock() - row.beat_at < timedelta(seconds=40)
    assert study.storage.leases.run_id is None


def test_a_run_that_is_left_by_an_error_has_ended(open_study: Open) -> None:
    study = open_study()
    with pytest.raises(KeyboardInterrupt), study.run():
        raise KeyboardInterrupt
    with Session(study.storage.engine) as session:
        assert session.scalars(select(RunRow.ended)).all() == [True]


def test_a_trial_that_kills_its_processes_is_given_up(abandoned: StoredStudy, open_study: Open) -> None:
    age(abandoned, timedelta(0), pid=2**22 + 1)
    study = open_study()
    with study.run():
        assert study.start_trial().number == 0
    age(abandoned, timedelta(0), run=2, pid=2**22 + 1)
    heard: list[Event] = []
    study = open_study(hear=heard.append)
    with study.run():
        assert study.start_trial().number == 1
    assert heard == [TrialGivenUp(0, "killed", "its process died 2 times")]
    (given_up,) = study.list_trials([TrialState.FAIL])
    assert (given_up.number, given_up.user_attrs["reason"]) == (0, "killed")


def test_a_trial_that_gets_further_each_time_is_not_given_up(abandoned: StoredStudy, open_study: Open) -> None:
    for run in (1, 2, 3, 4):
        age(abandoned, timedelta(0), run=run, pid=2**22 + 1)
        study = open_study()
        with study.run():
            trial = study.start_trial()
            assert trial.number == 0
            for number in range(1, 3 + run):
                study.add_epoch(trial, Epoch(number, {}, None, 0.1), 0.5)


def test_who_has_lost_the_lease_writes_nothing(open_study: Open) -> None:
    first, second = open_study(), open_study()
    with first.run():
        trial = first.start_trial()
        age(first, GRACE + timedelta(seconds=5))
        with second.run():
            assert second.start_trial().number == trial.number
            with pytest.raises(LeaseLostError):
                first.add_epoch(trial, Epoch(1, {"val_accuracy": 0.5}, None, 1.0), 0.5)
            assert second.read_curve(trial.number) == []


# -- trials that wait to be trained on


def test_a_trial_that_waits_is_resumed_by_one_process(open_study: Open) -> None:
    study, other = open_study(), open_study()
    with study.run(), other.run():
        for value, state in ((0.5, TrialState.COMPLETE), (None, TrialState.PRUNED)):
            trial = study.start_trial()
            study.add_epoch(trial, Epoch(1, {"val_accuracy": 0.4}, None, 1.0), 0.4)
            study.finish(trial, state, value, {"stretches": [1]})
        resumed = study.resume_trial(1, {"stretches": [1, 2]})
        assert resumed is not None
        assert resumed.user_attrs == {"stretches": [1, 2]}
        assert other.resume_trial(1, {"stretches": [1, 9]}) is None
        assert study.list_planned() == [
            (0, TrialState.COMPLETE, {"stretches": [1]}),
            (1, TrialState.RUNNING, {"stretches": [1, 2]}),
        ]
        assert study.list_best(9) == [0]
        study.add_epoch(resumed, Epoch(3, {"val_accuracy": 0.6}, None, 1.0), 0.6)
        study.finish(resumed, TrialState.COMPLETE, 0.6, {})
        assert study.list_best(9) == other.list_best(9) == [1, 0]
        assert [trial.value for trial in study.list_trials()] == [0.5, 0.6]


def test_the_best_trial_counts_while_it_is_trained_on_and_if_its_processes_die(url: URL, open_study: Open) -> None:
    study = open_study()
    study.check_identity(CONFIG, {})
    with study.run():
        trial = study.start_trial()
        study.add_epoch(trial, Epoch(1, {"val_accuracy": 0.5}, None, 1.0), 0.5)
        study.finish(trial, TrialState.COMPLETE, 0.5, {"space": "net", "stretches": [1]})
        assert study.resume_trial(0, {"stretches": [1, 2]}) is not None
        assert study.list_best(9) == [0]
        best = read_summary(url, study.name).best
        assert best is not None
        assert (best.state, best.value) == ("RUNNING", 0.5)
        study.takeover.give_up(study.study_id, 0, "killed", "its process died")
    assert study.list_best(9) == [0]
    assert read_summary(url, study.name).trials[0].state == "COMPLETE"
