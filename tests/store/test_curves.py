"""The learning curves of a study, as readers see them."""

import math
import subprocess
import sys
from collections.abc import Callable

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import insert
from sqlalchemy.engine import URL

from searchcnn.errors import StoreError
from searchcnn.events import Epoch
from searchcnn.store import StoredStudy, read_curves
from searchcnn.store.tables import EpochRow
from searchcnn.study import StudyConfig

Open = Callable[..., StoredStudy]


@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
def test_curves_come_as_they_were_written(url: URL, open_study: Open, study_config: Callable[..., StudyConfig]) -> None:
    study, another = open_study(), open_study("another")
    for one in (study, another):
        one.check_identity(study_config().model_dump(), {})
    first, second, silent = study.begin_trial(), study.begin_trial(), study.begin_trial()
    epochs = [Epoch(number, {"loss": 1 / number, "val_accuracy": 0.5}, 0.1 / number, 2.0) for number in (1, 2, 3)]
    solved = Epoch(1, {"accuracy": 0.9, "val_accuracy": 0.8}, None, 0.5)
    for number in (2, 0, 1):  # a worker that was taken over may write late
        study.add_epoch(first, epochs[number], 0.5)
    study.add_epoch(second, solved, 0.8)
    another.add_epoch(another.begin_trial(), Epoch(1, {"loss": 7.0}, None, 1.0), 0.1)
    study.finish(silent, TrialState.FAIL, None, {})
    assert read_curves(url, "x") == {0: epochs, 1: [solved]}
    assert read_curves(url, "x", 1) == {1: [solved]}
    assert read_curves(url, "x", 2) == {}
    assert study.read_curve(0) == epochs


def test_a_loss_that_is_not_a_number_stays_so(
    url: URL, open_study: Open, study_config: Callable[..., StudyConfig]
) -> None:
    study = open_study()
    study.check_identity(study_config().model_dump(), {})
    study.add_epoch(study.begin_trial(), Epoch(1, {"loss": math.nan}, None, 1.0), 0.0)
    assert math.isnan(read_curves(url, "x")[0][0].metrics["loss"])


def test_a_study_that_is_not_there_is_named(
    url: URL, open_study: Open, study_config: Callable[..., StudyConfig]
) -> None:
    open_study().check_identity(study_config().model_dump(), {})
    with pytest.raises(StoreError, match="no study 'y' in the database"):
        read_curves(url, "y")


@pytest.mark.slow
def test_a_thousand_trials_are_read(url: URL, open_study: Open, study_config: Callable[..., StudyConfig]) -> None:
    study = open_study()
    study.check_identity(study_config().model_dump(), {})
    study.optuna.add_trials([optuna.trial.create_trial(state=TrialState.PRUNED)] * 1000)
    metrics = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), 0.123456789)
    rows = [
        {"trial_id": trial, "epoch": epoch, "learning_rate": 0.001, "seconds": 1.5, "metrics": metrics}
        for trial in range(1, 1001)
        for epoch in range(1, 51)
    ]
    with study.storage.engine.begin() as connection:
        connection.execute(insert(EpochRow), rows)
    curves = read_curves(url, "x")
    assert len(curves) == 1000
    assert all(len(curve) == 50 for curve in curves.values())


def test_reading_needs_neither_optuna_nor_keras(
    url: URL, open_study: Open, study_config: Callable[..., StudyConfig]
) -> None:
    study = open_study()
    study.check_identity(study_config().model_dump(), {})
    study.add_epoch(study.begin_trial(), Epoch(1, {"loss": 1.0}, None, 1.0), 0.0)
    script = (
        "import sys; from searchcnn.store import parse_url, read_curves; "
        f"assert read_curves(parse_url({str(url)!r}), 'x')[0]; "
        "assert not {'optuna', 'keras', 'tensorflow', 'pandas'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
