"""The hardened storage: what is held, what is durable, and what other processes see."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import Engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from searchcnn.events import Epoch
from searchcnn.store import StoredStudy, open_storage
from searchcnn.store.database import BUSY_TIMEOUT
from searchcnn.store.optuna_private import get_trial_id

Open = Callable[..., StoredStudy]

TABLES = {
    "params": "trial_params",
    "attributes": "trial_user_attributes",
    "system": "trial_system_attributes",
    "reports": "trial_intermediate_values",
    "epochs": "searchcnn_epochs",
}


def epoch(number: int, accuracy: float = 0.5) -> Epoch:
    return Epoch(number, {"loss": 1.0, "val_accuracy": accuracy}, 0.001, 1.5)


def in_file(url: URL) -> dict[str, int]:
    """Returns how many rows another process would see."""
    with closing(sqlite3.connect(str(url.database))) as connection:
        return {
            name: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for name, table in TABLES.items()
        }


def is_unlocked(url: URL) -> bool:
    """Whether another process can write at once."""
    with closing(sqlite3.connect(str(url.database), timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True


@contextmanager
def writes(engine: Engine) -> Iterator[list[list[str]]]:
    """Collects the transactions that are committed, each as the tables it inserts into; reading ones are left out."""
    committed: list[list[str]] = []
    current: list[str] = []

    def begin(_: Any) -> None:
        current.clear()

    def execute(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            current.append(statement.split()[2 if statement.startswith("INSERT") else 1])

    def commit(_: Any) -> None:
        if current:
            committed.append([*current])

    listeners: dict[str, Any] = {"begin": begin, "before_cursor_execute": execute, "commit": commit}
    for name, listener in listeners.items():
        event.listen(engine, name, listener)
    yield committed
    for name, listener in listeners.items():
        event.remove(engine, name, listener)


def test_every_transaction_takes_the_lock_when_it_begins(url: URL) -> None:
    with open_storage(url).engine.connect() as connection:
        pragmas = {
            name: connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "busy_timeout", "synchronous")
        }
        assert pragmas == {"journal_mode": "wal", "busy_timeout": BUSY_TIMEOUT, "synchronous": 1}
        assert not is_unlocked(url)  # a transaction that has only read holds the lock already
    assert is_unlocked(url)


WORKER = """
import sys
from optuna.trial import TrialState
from searchcnn.backend import own_process
from searchcnn.store import StoredStudy, open_storage, parse_url
from searchcnn.study import Objective

own_process()
study = StoredStudy(open_storage(parse_url(sys.argv[1])), "x", Objective("val_accuracy", "maximize"))
print("ready", flush=True)
sys.stdin.readline()
with study.run():
    while True:
        trial = study.start_trial()
        if "preset" not in trial.user_attrs:  # none was waiting
            study.finish(trial, TrialState.FAIL, None, {})
            break
        print(trial.number, trial.user_attrs["preset"]["x"], flush=True)
        study.finish(trial, TrialState.COMPLETE, 0.5, {"seen": True})
"""


@pytest.mark.parametrize("url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True)
@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.long)])
def test_four_processes_make_a_database_and_run_each_waiting_trial_once(url: URL, open_study: Open, count: int) -> None:
    command = [sys.executable, "-c", WORKER, url.render_as_string(hide_password=False)]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    workers = [subprocess.Popen(command, text=True, **pipes) for _ in range(4)]
    started = [worker.stdout.readline() for worker in workers if worker.stdout]
    study = open_study()
    study.begin(("test", {"x": x}) for x in range(count))
    outputs = list(ThreadPoolExecutor(4).map(lambda worker: worker.communicate("go\n"), workers))
    assert [(worker.returncode, stderr) for worker, (_, stderr) in zip(workers, outputs, strict=True)] == [(0, "")] * 4
    assert started == ["ready\n"] * 4
    popped = [line.split() for stdout, _ in outputs for line in stdout.splitlines()]
    assert sorted((int(number), int(x)) for number, x in popped) == [(x, x) for x in range(count)]
    states = [trial.state for trial in study.list_trials()]
    assert [states.count(s) for s in (TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING)] == [count, 4, 0]
    assert [trial.number for trial in study.list_trials()] == list(range(count + 4))


def test_a_process_that_comes_too_late_leaves_the_lease(url: URL, open_study: Open) -> None:
    first, second, third = (open_study() for _ in range(3))
    first.begin([("test", {"x": 1})])
    with first.run():
        with second.run():
            trial = first.start_trial()
            assert not second.storage.set_trial_state_values(get_trial_id(trial), TrialState.RUNNING)
        with third.run():  # the late process has ended, the one at work has not
            assert third.start_trial().number == trial.number + 1


def test_parameters_and_attributes_are_held_until_flushed(url: URL, open_study: Open) -> None:
    study = open_study()
    trial = study.start_trial()
    before = in_file(url)
    trial.suggest_float("x", 0, 1)
    trial.suggest_categorical("y", ["a", "b"])
    trial.set_user_attr("macs", 7)
    assert in_file(url) == before
    with writes(study.storage.engine) as committed:
        study.flush(trial)
        study.flush(trial)
    assert len(committed) == 1
    after = in_file(url)
    assert (after["params"], after["attributes"]) == (2, 1)


def test_an_epoch_is_one_transaction(url: URL, open_study: Open) -> None:
    study = open_study()
    trial = study.start_trial()
    trial.suggest_float("x", 0, 1)
    trial.set_user_attr("macs", 7)
    with writes(study.storage.engine) as committed:
        study.add_epoch(trial, epoch(1), 0.5)
        assert in_file(url) == {"params": 1, "attributes": 1, "system": 0, "reports": 1, "epochs": 1}
        study.add_epoch(trial, epoch(2), 0.5)
        assert in_file(url)["epochs"] == 2
    assert [sorted(transaction) for transaction in committed] == [
        ["searchcnn_epochs", "trial_intermediate_values", "trial_params", "trial_user_attributes"],
        ["searchcnn_epochs", "trial_intermediate_values"],
    ]


def test_a_trial_that_ends_writes_what_is_held(url: URL, open_study: Open) -> None:
    study = open_study()
    trial = study.start_trial()
    trial.suggest_float("x", 0, 1)
    study.finish(trial, TrialState.PRUNED, None, {"reason": "max_params"}, excess=0.5)
    stored = open_study().list_trials()[0]
    assert (stored.state, set(stored.params), stored.user_attrs) == (TrialState.PRUNED, {"x"}, {"reason": "max_params"})
    assert stored.constraints == {"limits": 0.5}


def test_an_epoch_and_its_objective_are_written_both_or_not_at_all(url: URL, open_study: Open) -> None:
    study = open_study()
    trial = study.start_trial()
    study.add_epoch(trial, epoch(1), 0.5)
    with closing(sqlite3.connect(str(url.database))) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON trial_intermediate_values "
            "BEGIN SELECT RAISE(ABORT, 'no space left'); END"
        )
    with pytest.raises(Exception, match="no space left"):
        study.add_epoch(trial, epoch(2), 0.6)
    assert (in_file(url)["reports"], in_file(url)["epochs"]) == (1, 1)
    assert is_unlocked(url)


def test_what_a_busy_database_refused_is_written_at_the_next_try(
    url: URL, open_study: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("searchcnn.store.database.BUSY_TIMEOUT", 1)
    study = open_study()
    trial = study.start_trial()
    trial.suggest_float("x", 0, 1)
    with closing(sqlite3.connect(str(url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="database is locked"):
            study.flush(trial)
        other.execute("ROLLBACK")
    study.flush(trial)
    assert in_file(url)["params"] == 1


def test_reads_see_what_is_held(url: URL, open_study: Open) -> None:
    study = open_study()
    trial = study.start_trial()
    before, key = in_file(url), get_trial_id(trial)
    x = trial.suggest_float("x", 0, 1)
    sizes = [3, 5]
    trial.set_user_attr("sizes", sizes)
    sizes.append(7)
    trial.set_constraint("limits", 0.5)
    assert study.storage.get_trial_system_attrs(key) == {"constraints:limits": 0.5}
    assert study.storage.get_trial_param(key, "x") == x
    for frozen in (study.storage.get_trial(key), *study.list_trials()):
        assert (frozen.params, frozen.user_attrs, frozen.constraints) == ({"x": x}, {"sizes": [3, 5]}, {"limits": 0.5})
    assert in_file(url) == before
    study.flush(trial)
    (written,) = open_study().list_trials()
    assert (written.params, written.user_attrs) == ({"x": x}, {"sizes": [3, 5]})


def test_a_trial_that_has_ended_takes_nothing_more(open_study: Open) -> None:
    study = open_study()
    trial = study.start_trial()
    study.finish(trial, TrialState.COMPLETE, 0.5, {})
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        study.storage.set_trial_user_attr(get_trial_id(trial), "late", 1)
    with pytest.raises(KeyError):
        study.storage.set_trial_user_attr(get_trial_id(trial) + 1, "missing", 1)
    assert not study.storage.is_behind(get_trial_id(trial))


def test_the_end_of_a_trial_is_one_transaction(open_study: Open) -> None:
    study = open_study()
    trial = study.start_trial()
    with writes(study.storage.engine) as committed:
        trial.suggest_float("x", 0, 1)
        study.finish(trial, TrialState.COMPLETE, 0.5, {"macs": 7})
    assert [sorted(transaction) for transaction in committed] == [
        ["trial_params", "trial_user_attributes", "trial_values", "trials"]
    ]


def test_a_trial_that_another_process_has_finished(url: URL, open_study: Open) -> None:
    study = open_study()
    trial = study.start_trial()
    trial.suggest_float("x", 0, 1)
    study.flush(trial)
    optuna.load_study(study_name="x", storage=str(url)).tell(trial.number, state=TrialState.FAIL)
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        study.add_epoch(trial, epoch(1), 0.5)
    assert is_unlocked(url)
    study.finish(trial, TrialState.PRUNED, None, {"reason": "late"}, excess=1.0)
    assert is_unlocked(url)
    assert in_file(url)["epochs"] == 0
    stored = open_study().list_trials()[0]
    assert (stored.state, stored.user_attrs, stored.intermediate_values) == (TrialState.FAIL, {}, {})
    study.finish(study.start_trial(), TrialState.COMPLETE, 0.5, {})
    assert study.count_finished() == 2


def test_choices_may_not_change_between_runs_either(open_study: Open) -> None:
    for choices in (["a", "b"], ["a", "b"]):
        study = open_study()
        trial = study.start_trial()
        trial.suggest_categorical("y", choices)
        study.finish(trial, TrialState.COMPLETE, 0.5, {})
    trial = open_study().optuna.ask()
    with pytest.raises(ValueError, match="does not support dynamic value space"):
        trial.suggest_categorical("y", ["a", "b", "c"])
    trial = open_study("another").optuna.ask()
    assert trial.suggest_categorical("y", ["c"]) == "c"


def test_optunas_own_command_reads_the_file(url: URL, open_study: Open) -> None:
    study = open_study()
    trial = study.start_trial()
    x = trial.suggest_float("x", 0, 1)
    study.add_epoch(trial, epoch(1), 0.5)
    study.finish(trial, TrialState.COMPLETE, 0.5, {"macs": 7})
    optuna_command = str(Path(sys.executable).with_name("optuna"))
    command = [optuna_command, "trials", "--storage", str(url), "--study-name", "x", "-f", "json"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    (row,) = json.loads(run.stdout)
    assert (row["number"], row["state"], row["value"], row["params"]) == (0, "COMPLETE", 0.5, {"x": x})
