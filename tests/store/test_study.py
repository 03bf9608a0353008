"""Beginning, continuing and refusing studies, and reading them for people."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState
from sqlalchemy import inspect, select
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session

from searchcnn.errors import StoreError, StudyChangedError
from searchcnn.events import Epoch
from searchcnn.store import StoredStudy, find_sqlite_file, open_storage, parse_url, read_summary
from searchcnn.store.database import connect
from searchcnn.store.migrations import STEPS, migrate, read_schema_version
from searchcnn.store.tables import ModelRow, RunRow, StudyRow, read_clock, union_length
from searchcnn.study import Objective, validate

Open = Callable[..., StoredStudy]

CONFIG = validate(
    {
        "spaces": ["net"],
        "data": {"name": "digits"},
        "budget": {"trials": 3, "timeout": "15m"},
        "search": {"sampler": {"name": "TPESampler", "n_startup_trials": 3}},
        "training": {"learning_rate": {"min": 1e-4, "max": 1e-2, "log": True}, "optimizer": ["adam", "sgd"]},
    },
    "x.toml",
)
IDENTITY = {"data": "digits 0123", "seed": "0", "training.epochs": "10"}


def begin(study: StoredStudy, identity: dict[str, str] = IDENTITY) -> StoredStudy:
    study.check_identity(CONFIG.model_dump(), identity)
    return study


def add_trial(study: StoredStudy, value: float | None = 0.5, state: TrialState = TrialState.COMPLETE) -> None:
    trial = study.start_trial()
    trial.suggest_float("x", 0, 1)
    study.add_epoch(trial, Epoch(1, {"val_accuracy": 0.3}, None, 1.0), 0.3)
    study.add_epoch(trial, Epoch(2, {"val_accuracy": 0.4}, None, 2.0), 0.4)
    study.finish(trial, state, value, {"space": "net", "params": 7, "hyperparameters": {"x": 1}})


def check_one_line(error: BaseException) -> str:
    assert len(str(error).splitlines()) == 1
    return str(error)


# -- agreeing


def test_optunas_tools_know_what_the_score_is(open_study: Open) -> None:
    study = open_study()
    study.begin([])
    assert open_study().optuna.metric_names == ["val_accuracy"]


def test_the_same_search_is_continued(open_study: Open) -> None:
    study = begin(open_study())
    assert study.is_new
    add_trial(study)
    again = begin(open_study())
    assert (again.study_id, again.is_new) == (study.study_id, False)


def test_a_changed_search_is_refused_and_nothing_is_changed(open_study: Open) -> None:
    identity = {**IDENTITY, "rules": "2"}
    add_trial(begin(open_study(), identity))
    changed = {"data": "digits 9999", "seed": "0", "search space net": "abc", "rules": "2"}
    with pytest.raises(StudyChangedError) as caught:
        begin(open_study(), changed)
    assert check_one_line(caught.value) == (
        "study 'x' was started with another search, whose scores would not compare: data (digits 0123 -> digits 9999), "
        "search space net (none -> abc), training.epochs (10 -> none); undo the change, or start a new study with "
        "--name x-2, or continue anyway with --accept-changes"
    )
    begin(open_study(), identity)
    open_study().check_identity({}, changed, accept=True)
    begin(open_study(), changed)


def test_whoever_changed_nothing_is_told_what_has(open_study: Open) -> None:
    add_trial(begin(open_study()))
    with pytest.raises(StudyChangedError, match="this version may find parts in the same images that the one before"):
        begin(open_study(), {**IDENTITY, "data": "digits 9999"})


def test_what_an_earlier_version_did_not_keep_is_no_change(open_study: Open) -> None:
    add_trial(begin(open_study()))
    recent = {"search space net, layers.py": "abc"}
    open_study().check_identity({}, {**IDENTITY, **recent}, recent=recent)
    changed = {"search space net, layers.py": "def"}
    with pytest.raises(StudyChangedError, match=r"search space net, layers.py \(abc -> def\)"):
        open_study().check_identity({}, {**IDENTITY, **changed}, recent=changed)


def test_a_file_that_is_new_beside_a_search_space_is_a_change(open_study: Open) -> None:
    identity, recent = {**IDENTITY, "rules": "2"}, {"search space net, layers.py": "abc"}
    add_trial(begin(open_study(), identity))
    with pytest.raises(StudyChangedError, match=r"layers.py \(none -> abc\)"):
        open_study().check_identity({}, {**identity, **recent}, recent=recent)


def test_a_study_without_results_begins_anew_when_it_changes(open_study: Open) -> None:
    study = begin(open_study())
    study.begin([("baseline", {"x": 1})])
    with study.run():
        study.start_trial()  # and the process is stopped
    changed = begin(open_study(direction="minimize"), {"data": "another"})
    assert changed.is_new
    assert changed.optuna.direction == optuna.study.StudyDirection.MINIMIZE


def test_a_study_without_trials_may_change(open_study: Open) -> None:
    begin(open_study())
    study = begin(open_study(direction="minimize"), {"data": "another"})
    assert study.optuna.direction == optuna.study.StudyDirection.MINIMIZE
    with Session(study.storage.engine) as session:
        assert session.get_one(StudyRow, study.study_id).identity == {"data": "another"}
    add_trial(study)
    with pytest.raises(StudyChangedError, match="data"):
        begin(open_study(direction="maximize"))
    assert open_study(direction="maximize").optuna.direction == optuna.study.StudyDirection.MINIMIZE


@pytest.mark.parametrize("directions", [["maximize"], ["minimize"], ["minimize", "maximize"]], ids=str)
def test_a_study_of_another_program_is_refused(url: URL, open_study: Open, directions: list[Any]) -> None:
    begin(open_study("x"))
    foreign = optuna.create_study(study_name="foreign", storage=str(url), directions=directions)
    foreign.add_trial(optuna.trial.create_trial(values=[0.5] * len(directions)))
    with pytest.raises(StudyChangedError, match="'foreign' in this database was not made by searchcnn; choose another"):
        begin(open_study("foreign"))
    with pytest.raises(StoreError, match="'foreign' in the database was not made by searchcnn"):
        read_summary(url, "foreign")
    assert len(foreign.trials) == 1


def test_several_studies_share_a_database(url: URL, open_study: Open) -> None:
    for name in ("a", "b"):
        add_trial(begin(open_study(name)), value={"a": 0.1, "b": 0.2}[name])
    assert [read_summary(url, name).ranking[0].value for name in ("a", "b")] == [0.1, 0.2]
    assert [len(read_summary(url, name).trials) for name in ("a", "b")] == [1, 1]


def test_models_and_the_best_value(open_study: Open) -> None:
    study = begin(open_study())
    add_trial(study, 0.5)
    add_trial(study, None, TrialState.PRUNED)
    study.add_model(study.start_trial(), Path("trial.keras"), 0.7)
    with Session(study.storage.engine) as session:
        assert [(row.path, row.score) for row in session.scalars(select(ModelRow))] == [("trial.keras", 0.7)]
    for value in (0.7, 0.5, 0.6):
        add_trial(study, value)
    assert study.list_best(3) == [2, 4, 0]
    assert [study.rank(study.start_trial(), value, {}) for value in (0.4, 0.5, 0.65, 0.8)] == [4, 4, 1, 0]
    assert study.list_finished() == [0, 1, 2, 3, 4]
    smaller = open_study("y", direction="minimize")
    add_trial(smaller, 0.5)
    add_trial(smaller, 0.3)
    assert smaller.list_best(9) == [1, 0]
    assert [smaller.rank(smaller.start_trial(), value, {}) for value in (0.2, 0.3, 0.4)] == [0, 1, 1]


def test_of_trials_that_are_equally_good_the_earlier_one_comes_first(open_study: Open) -> None:
    study = begin(open_study())
    with study.run():
        first, second, third = (study.start_trial() for _ in range(3))
        study.finish(second, TrialState.COMPLETE, 0.5, {})
        assert [study.rank(trial, 0.5, {}) for trial in (first, third)] == [0, 1]
        study.finish(first, TrialState.COMPLETE, 0.5, {})
        assert study.list_best(2) == [0, 1]


@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
def test_equal_scores_are_ranked_by_loss_and_then_by_cost(url: URL, open_study: Open) -> None:
    study = begin(open_study())
    facts = [{}, {"val_loss": 0.3, "macs": 900}, {"val_loss": 0.25, "macs": 800}, {"val_loss": 0.25, "macs": 70_000}]
    for fact in facts:
        study.finish(study.start_trial(), TrialState.COMPLETE, 0.5, {"space": "a", **fact})
    study.finish(study.start_trial(), TrialState.COMPLETE, 0.4, {"space": "a", "val_loss": 0.1})
    assert study.list_best(9) == [2, 3, 1, 0, 4]
    assert [trial.number for trial in read_summary(url, "x").ranking] == [2, 3, 1, 0, 4]
    trial = study.start_trial()
    ranks = [study.rank(trial, value, fact) for value, fact in ((0.6, {}), (0.5, facts[2]), (0.5, {"val_loss": 0.2}))]
    assert ranks == [0, 1, 0]


# -- databases that are refused


def fill_database(url: URL, open_study: Open, trials: int = 10) -> bytes:
    """Returns the content of a database with some trials."""
    study = begin(open_study())
    for _ in range(trials):
        add_trial(study)
    study.storage.scoped_session.remove()
    study.storage.engine.dispose()
    file = Path(str(url.database))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = file.read_bytes()
    for path in file.parent.glob("x.db*"):
        path.unlink()
    return content


def use(url: URL) -> None:
    study = StoredStudy(open_storage(url), "x", Objective("val_accuracy", "maximize"))
    study.check_identity(CONFIG.model_dump(), IDENTITY)
    study.list_trials()


@pytest.mark.parametrize("part", [0.0001, 0.001, 0.02, 0.25, 0.5, 0.9])
def test_a_truncated_database(url: URL, open_study: Open, part: float) -> None:
    content = fill_database(url, open_study)
    Path(str(url.database)).write_bytes(content[: int(len(content) * part)])
    for read in (use, lambda url: read_summary(url, "x")):
        with pytest.raises(StoreError) as caught:
            read(url)
        assert "start again, or restore a copy" in check_one_line(caught.value)
        assert "x.db" in str(caught.value)


@pytest.mark.parametrize("content", [b"hello, I am a text\n" * 100, b"\x89PNG" + b"\0" * 5000, b"SQLite format 3\0"])
def test_what_is_no_database(url: URL, content: bytes) -> None:
    Path(str(url.database)).write_bytes(content)
    for read in (open_storage, lambda url: read_summary(url, "x")):
        with pytest.raises(StoreError, match="file is not a database; move it away"):
            read(url)
    assert Path(str(url.database)).read_bytes() == content


@pytest.mark.parametrize("tables", [["bookmarks"], ["studies", "trials"]], ids=str)
def test_a_database_of_another_program_is_left_as_it_is(url: URL, tables: list[str]) -> None:
    file = Path(str(url.database))
    with closing(sqlite3.connect(file)) as connection:
        for table in tables:
            connection.execute(f"CREATE TABLE {table} (a)")
    before = file.read_bytes()
    with pytest.raises(StoreError) as caught:
        open_storage(url)
    assert f"holds tables of another program ('{tables[0]}'); give a new file" in check_one_line(caught.value)
    assert file.read_bytes() == before
    with pytest.raises(StoreError, match="was not made by searchcnn"):
        read_summary(url, "x")


def test_a_database_that_optuna_made_can_be_shared(url: URL, open_study: Open) -> None:
    optuna.create_study(study_name="theirs", storage=str(url)).add_trial(optuna.trial.create_trial(value=0.5))
    with pytest.raises(StoreError, match="was not made by searchcnn"):
        read_summary(url, "theirs")
    add_trial(begin(open_study()))
    assert len(read_summary(url, "x").trials) == 1
    assert len(optuna.load_study(study_name="theirs", storage=str(url)).trials) == 1


def test_a_database_of_a_newer_searchcnn(url: URL, open_study: Open) -> None:
    begin(open_study())
    with closing(sqlite3.connect(str(url.database))) as connection, connection:
        connection.execute("UPDATE searchcnn_schema SET version = 99")
    for read in (open_storage, lambda url: read_summary(url, "x")):
        with pytest.raises(
            StoreError, match=r"layout 99, written by a newer searchcnn; .*pip install --upgrade"
        ) as error:
            read(url)
        check_one_line(error.value)


def test_a_database_of_another_optuna(url: URL, open_study: Open) -> None:
    begin(open_study())
    with closing(sqlite3.connect(str(url.database))) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
    with pytest.raises(StoreError) as caught:
        open_storage(url)
    assert "optuna" in check_one_line(caught.value).lower()


@pytest.mark.parametrize("text", ["", "x.db", "nonsense", "sqlite:", "sqlite//x"])
def test_what_is_no_url(text: str) -> None:
    with pytest.raises(StoreError, match=r"is not a database URL; expected sqlite:///path/to/file.db or postgresql"):
        parse_url(text)


def test_other_databases_are_refused() -> None:
    with pytest.raises(
        StoreError, match=r"^mysql://me:\*\*\*@host/x: studies are not kept in mysql; expected sqlite:///"
    ):
        parse_url("mysql://me:secret@host/x")


def test_urls() -> None:
    assert find_sqlite_file(parse_url("sqlite:///a/b.db")) == Path("a/b.db")
    assert find_sqlite_file(parse_url("sqlite:////a/b.db")) == Path("/a/b.db")
    assert find_sqlite_file(parse_url("sqlite://")) is None
    assert find_sqlite_file(parse_url("sqlite:///:memory:")) is None
    assert find_sqlite_file(parse_url("postgresql://host/name")) is None


def test_a_missing_driver() -> None:
    text = "postgresql+pg8000://host/x"
    for read in (open_storage, lambda url: read_summary(url, "x")):
        with pytest.raises(StoreError, match=r"no driver for .* is installed .*pip install"):
            read(parse_url(text))


def test_missing_files_and_studies(url: URL, open_study: Open, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"x\.db: no such database; `searchcnn studies` lists"):
        read_summary(url, "x")
    assert not Path(str(url.database)).exists()
    begin(open_study("fashion"))
    with pytest.raises(StoreError, match=r"no study 'fashoin' in the database; did you mean 'fashion'\?"):
        read_summary(url, "fashoin")
    with pytest.raises(StoreError, match="cannot be written"):
        open_storage(parse_url(f"sqlite:///{tmp_path / 'x.db' / 'y.db'}"))


def test_a_new_database_gets_its_folder(tmp_path: Path) -> None:
    open_storage(parse_url(f"sqlite:///{tmp_path / 'a' / 'b' / 'x.db'}"))
    assert (tmp_path / "a" / "b" / "x.db").is_file()


def test_migrations_are_applied_once(url: URL, open_study: Open) -> None:
    study = begin(open_study())
    add_trial(study)
    for _ in range(2):
        with study.storage.engine.begin() as connection:
            migrate(connection)
            assert read_schema_version(connection) == len(STEPS)
    with connect(url).connect() as connection:
        tables = [table for table in inspect(connection).get_table_names() if table.startswith("searchcnn_")]
    assert sorted(tables) == [
        f"searchcnn_{name}" for name in ("epochs", "leases", "models", "runs", "schema", "studies")
    ]
    assert len(study.read_curve(0)) == 2


# -- time


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([], 0),
        ([(0, 2)], 2),
        ([(0, 2), (1, 3), (10, 11)], 4),
        ([(10, 11), (0, 5), (1, 2)], 6),
        ([(0, 1), (1, 2)], 2),
        ([(5, 5)], 0),
    ],
)
def test_union_length(intervals: list[tuple[float, float]], expected: float) -> None:
    assert union_length(intervals) == expected


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda pair: (min(pair), max(pair)))))
def test_union_length_counts_each_second_once(intervals: list[tuple[int, int]]) -> None:
    assert union_length(intervals) == len({second for start, end in intervals for second in range(start, end)})


def test_seconds_of_several_runs(url: URL, open_study: Open) -> None:
    study = begin(open_study())
    assert study.count_seconds() == 0
    zero = read_clock() - timedelta(hours=1)
    with Session(study.storage.engine) as session, session.begin():
        for study_id, start, end in ((1, 0, 20), (1, 10, 30), (1, 100, 110), (2, 0, 1000)):
            times = {"started_at": zero + timedelta(seconds=start), "beat_at": zero + timedelta(seconds=end)}
            session.add(RunRow(study_id=study_id, host="h", pid=1, **times))
    assert study.count_seconds() == pytest.approx(40)
    assert read_summary(url, "x").seconds == pytest.approx(40)


def test_seconds_before_a_run_is_registered_count(url: URL, open_study: Open) -> None:
    study = begin(open_study())
    assert study.count_seconds(30) == pytest.approx(30)
    with study.run(30):
        assert study.count_seconds(30) == pytest.approx(30, abs=1)
    assert read_summary(url, "x").seconds == pytest.approx(30, abs=1)
    assert study.count_seconds(10) == pytest.approx(30, abs=1)  # they are the same seconds


# -- summaries


@pytest.fixture
def busy(open_study: Open) -> StoredStudy:
    """Returns a study with trials in every state."""
    study = begin(open_study())
    with study.run():
        add_trial(study, 0.5)
        add_trial(study, 0.7)
        add_trial(study, None, TrialState.PRUNED)
        add_trial(study, None, TrialState.FAIL)
        add_trial(study, 0.6)
        running = study.start_trial()
        study.add_epoch(running, Epoch(1, {}, None, 1.0), 0.2)
    study.optuna.enqueue_trial({}, user_attrs={"preset": {"x": 0.5}, "origin": "test"})
    return study


def test_a_summary_is_what_optuna_reads(url: URL, busy: StoredStudy) -> None:
    summary = read_summary(url, "x")
    theirs = optuna.load_study(study_name="x", storage=str(url))
    assert [(t.number, t.state, dict(t.facts)) for t in summary.trials] == [
        (t.number, t.state.name, t.user_attrs) for t in theirs.trials
    ]
    values: list[Any] = [
        t.value if t.value is not None else t.intermediate_values.get(t.last_step or 0) for t in theirs.trials
    ]
    assert [t.value for t in summary.trials] == values == [0.5, 0.7, 0.4, 0.4, 0.6, 0.2, None]
    assert summary.best
    assert (summary.best.number, summary.best.value) == (theirs.best_trial.number, theirs.best_value)
    assert [t.number for t in summary.ranking] == [1, 4, 0]
    assert (summary.finished_count, busy.count_finished()) == (5, 5)
    assert [summary.count(state.name) for state in TrialState] == [
        sum(t.state == state for t in theirs.trials) for state in TrialState
    ]
    assert [(t.epochs, t.seconds) for t in summary.trials] == [(2, 3.0)] * 5 + [(1, 1.0), (0, 0.0)]
    assert summary.config == CONFIG


def test_whether_a_search_runs(url: URL, busy: StoredStudy) -> None:
    assert not read_summary(url, "x").running
    with busy.run():
        assert read_summary(url, "x").running
    assert not read_summary(url, "x").running


def test_a_summary_is_read_while_a_search_writes(url: URL, busy: StoredStudy) -> None:
    with closing(sqlite3.connect(str(url.database), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM trials")
        assert len(read_summary(url, "x").trials) == 7
        connection.execute("ROLLBACK")


def test_a_new_study_has_no_best(url: URL, open_study: Open) -> None:
    begin(open_study())
    summary = read_summary(url, "x")
    assert (summary.best, summary.finished_count, summary.seconds) == (None, 0, 0.0)


def test_a_summary_needs_neither_optuna_nor_keras(url: URL, busy: StoredStudy) -> None:
    code = (
        "import sys; from searchcnn.store import parse_url, read_summary\n"
        "assert len(read_summary(parse_url(sys.argv[1]), 'x').trials) == 7\n"
        "print({'optuna', 'keras', 'keras_tuner', 'tensorflow'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(url)], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


def test_deleting_a_study_with_optunas_tools_leaves_the_others(url: URL, open_study: Open) -> None:
    for name in ("a", "b"):
        add_trial(begin(open_study(name)))
    optuna.delete_study(study_name="a", storage=str(url))
    assert len(read_summary(url, "b").trials) == 1
    with Session(open_study("b").storage.engine) as session:
        assert len(session.scalars(select(StudyRow)).all()) == 2


def test_a_file_that_loses_its_name_during_the_search(url: URL, open_study: Open) -> None:
    study, file = open_study(), Path(str(url.database))
    trial = study.start_trial()
    file.rename(file.with_name("y.db"))
    for again in (False, True):
        with pytest.raises(StoreError, match=r"x.db: was deleted, moved or replaced meanwhile; put it back, then"):
            study.add_epoch(trial, Epoch(1, {}, None, 1.0), 0.5)
        if not again:
            study.storage.engine.dispose()  # a new connection makes a new, empty file
    file.with_name("y.db").replace(file)
    assert [trial.state for trial in open_study().list_trials()] == [TrialState.RUNNING]
