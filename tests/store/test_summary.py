"""The search spaces of a study, compared."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from sqlalchemy import select
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session

from searchcnn.events import Epoch, Planned
from searchcnn.store import SpaceSummary, StoredStudy, parse_url, read_config, read_summary
from searchcnn.store.tables import RunRow
from searchcnn.study import StudyConfig

Open = Callable[..., StoredStudy]
Trials = list[tuple[str, TrialState, float | None]]
COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


@pytest.fixture
def compared(url: URL, open_study: Open, study_config: Callable[..., StudyConfig]) -> Callable[..., list[SpaceSummary]]:
    """Returns the search spaces of a study with the given trials."""

    def compare(spaces: list[str], trials: Trials, **search: Any) -> list[SpaceSummary]:
        config = study_config(spaces=spaces, search=search)
        study = open_study(direction=config.objective.direction)
        study.check_identity(config.model_dump(), {})
        for space, state, value in trials:
            trial = study.start_trial()
            for epoch in (1, 2):
                study.add_epoch(trial, Epoch(epoch, {"val_accuracy": 0.1}, None, 1.5), 0.1)
            study.finish(trial, state, value, {"space": space, "params": trial.number, "hyperparameters": {}})
        return read_summary(url, "x").spaces

    return compare


TRIALS: Trials = [
    ("a", COMPLETE, 0.7),
    ("b", PRUNED, None),
    ("c", PRUNED, None),
    ("b", COMPLETE, 0.9),
    ("a", COMPLETE, 0.8),
    ("c", FAIL, None),
    ("b", COMPLETE, 0.85),
]


def test_the_best_comes_first_and_those_without_a_complete_trial_last(
    compared: Callable[..., list[SpaceSummary]],
) -> None:
    spaces = compared(["never", "c", "a", "b"], TRIALS)
    assert [(space.name, space.trials, space.complete, space.pruned, space.seconds) for space in spaces] == [
        ("b", 3, 2, 1, 9.0),
        ("a", 2, 2, 0, 6.0),
        ("never", 0, 0, 0, 0.0),
        ("c", 2, 0, 1, 6.0),
    ]
    best = [space.best for space in spaces]
    assert [(trial.number, trial.value, trial.epochs) for trial in best if trial] == [(3, 0.9, 2), (4, 0.8, 2)]
    assert best[2:] == [None, None]


def test_a_smaller_objective_can_be_the_better_one(compared: Callable[..., list[SpaceSummary]]) -> None:
    spaces = compared(["a", "b", "c"], TRIALS, objective="val_loss")
    assert [(space.name, space.best.value) for space in spaces if space.best] == [("a", 0.7), ("b", 0.85)]


def test_a_search_space_named_by_its_file_has_the_name_that_its_trials_tell(
    compared: Callable[..., list[SpaceSummary]],
) -> None:
    spaces = compared(["a", "nets.py:b", "nets.py:c"], TRIALS)
    assert [space.name for space in spaces] == ["b", "a", "c"]


def test_a_study_without_trials_has_its_search_spaces(compared: Callable[..., list[SpaceSummary]]) -> None:
    spaces = compared(["a", "b"], [])
    assert [(space.name, space.trials, space.best) for space in spaces] == [("a", 0, None), ("b", 0, None)]


@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize(("state", "is_read"), [(None, False), (FAIL, False), (PRUNED, True), (COMPLETE, True)])
def test_the_configuration_of_a_study_with_results(
    url: URL, open_study: Open, study_config: Callable[..., StudyConfig], state: TrialState | None, is_read: bool
) -> None:
    config, study = study_config().model_dump(), open_study()
    study.check_identity(config, {"search.direction": "maximize"})
    if state is not None:
        study.finish(study.start_trial(), state, 0.5 if state is COMPLETE else None, {"space": "a"})
    expected = {**config, "search": {**config["search"], "direction": "maximize"}}
    assert read_config(url, "x") == (expected if is_read else None)
    with study.run():  # what is at work may have a result soon
        assert read_config(url, "x") == expected
    assert read_config(url, "another") is None


def test_there_is_no_configuration_without_a_database(tmp_path: Path) -> None:
    assert read_config(parse_url(f"sqlite:///{tmp_path / 'none.db'}"), "x") is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
def test_the_plan_and_where_the_time_went(url: URL, open_study: Open, study_config: Callable[..., StudyConfig]) -> None:
    study, another = open_study(), open_study()
    study.check_identity(study_config().model_dump(), {})
    assert read_summary(url, "x").plan is None
    plan = Planned(3, 1, is_last=False, seconds=9.0, last_seconds=20.0)
    with study.run(elapsed=8.0), another.run(elapsed=92.0):
        another.spent.add("waiting", 6.0)
        with Session(study.storage.engine) as session, session.begin():
            session.scalars(select(RunRow)).all()[0].started_at -= timedelta(seconds=100)
        study.note_plan(Planned(2, 0, is_last=False))
        study.note_plan(plan)
        for spent in ({"training": 60.0, "saving": 5.0}, {"training": 10.0}):
            study.finish(study.start_trial(), TrialState.COMPLETE, 0.5, {"space": "a", "spent": spent})
    summary = read_summary(url, "x")
    assert summary.plan == plan
    assert 0 <= summary.planned_ago < 60
    assert list(summary.spent) == ["starting", "training", "other", "waiting", "saving"]
    shares = [0.5, 0.35, 0.095, 0.03, 0.025]
    assert list(summary.spent.values()) == pytest.approx(shares, abs=0.03)
    assert sum(summary.spent.values()) == pytest.approx(1.0)
