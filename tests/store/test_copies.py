"""Whole studies are copied while they are searched, and deleted."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import TrialState
from sqlalchemy import URL

from searchcnn.errors import StoreError
from searchcnn.events import Epoch
from searchcnn.store import StoredStudy, open_storage, read_summary
from searchcnn.store.copies import copy_study, delete_study
from searchcnn.study import Objective

OBJECTIVE = Objective("val_accuracy", "maximize")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., StoredStudy]:
    """Returns a maker of studies with a finished trial in ``tmp_path/old.db``."""

    def made(name: str = "old") -> StoredStudy:
        study = StoredStudy(open_storage(url(tmp_path / "old.db")), name, OBJECTIVE)
        study.check_identity({"spaces": ["x"], "data": {"name": "digits"}, "budget": {"trials": 1}}, {})
        trial = study.start_trial()
        study.add_epoch(trial, Epoch(1, {"val_accuracy": 0.5}, None, 0.1), 0.5)
        study.finish(trial, TrialState.COMPLETE, 0.5, {})
        return study

    return made


def url(file: Path) -> URL:
    return URL.create("sqlite", database=str(file))


def test_a_copy_is_another_study(make: Callable[..., StoredStudy], tmp_path: Path) -> None:
    study = make()
    with study.run():
        running = study.start_trial()
        copy_study(tmp_path / "old.db", "old", tmp_path / "new.db", "new")
        study.finish(running, TrialState.COMPLETE, 0.7, {})
    copy = read_summary(url(tmp_path / "new.db"), "new")
    assert [trial.state for trial in copy.trials] == ["COMPLETE", "RUNNING"]
    assert not copy.running
    other = StoredStudy(open_storage(url(tmp_path / "new.db")), "new", OBJECTIVE)
    with other.run():
        assert other.start_trial().number == 1  # nobody works on it in the copy
    assert [trial.state for trial in read_summary(url(tmp_path / "old.db"), "old").trials] == ["COMPLETE"] * 2
    with pytest.raises(StoreError, match=r"new.db exists already"):
        copy_study(tmp_path / "old.db", "old", tmp_path / "new.db", "new")
    with pytest.raises(StoreError, match=r"missing/new.db: cannot be written"):
        copy_study(tmp_path / "old.db", "old", tmp_path / "missing" / "new.db", "new")


def test_a_deleted_study_leaves_others_alone(make: Callable[..., StoredStudy], tmp_path: Path) -> None:
    make("old")
    study = make("other")
    delete_study(url(tmp_path / "old.db"), "old")
    assert read_summary(url(tmp_path / "old.db"), "other").finished_count == 1
    with study.run(), pytest.raises(StoreError, match=f"process {os.getpid()} on .* works on study 'other'"):
        delete_study(url(tmp_path / "old.db"), "other")
    delete_study(url(tmp_path / "old.db"), "other")
    assert not list(tmp_path.glob("old.db*"))
