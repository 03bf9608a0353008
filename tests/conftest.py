"""What the tests of several rooms share: scikit-learn's digits, small studies and trials in a real database."""

import gc
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from searchcnn.backend import own_process
from searchcnn.data import Dataset
from searchcnn.events import Hear, ignore
from searchcnn.sources import load_dataset
from searchcnn.study import DataConfig, StudyConfig, validate
from tests.postgres import PostgreSQL


def pytest_configure(config: pytest.Config) -> None:
    """Silences libraries; lets Keras 3.15 save weights under NumPy 2, which warns; CI draws the same examples."""
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
    )
    own_process()
    settings.register_profile("default", deadline=None)
    settings.register_profile("ci", derandomize=True, deadline=None)
    settings.register_profile("thorough", max_examples=10_000, deadline=None)  # pytest --hypothesis-profile=thorough
    settings.load_profile("ci" if "CI" in os.environ else config.getoption("--hypothesis-profile") or "default")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keeps what was imported out of the full garbage collection that comes before each trial."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def user_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Gives searchcnn, in subprocesses too, another folder than the developer's own cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgreSQL]:
    """Returns a PostgreSQL server."""
    if PostgreSQL.missing:
        pytest.skip(PostgreSQL.missing)
    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """Returns all digits."""
    return load_dataset(DataConfig(name="digits", validation=0.2), 0)


@pytest.fixture(scope="session")
def few(digits: Dataset) -> Dataset:
    """Returns 256 digits to train on and 96 to validate."""
    return replace(digits, train=digits.train.take(np.arange(256)), validation=digits.validation.take(np.arange(96)))


@pytest.fixture
def study_config() -> Callable[..., StudyConfig]:
    """Returns a maker of small studies from the sections that differ: ``study_config(training={"epochs": 3})``."""

    def make(**sections: Any) -> StudyConfig:
        small = {"epochs": 1, "patience": 9, "batch_size": 32, "learning_rate": 0.01, "schedule": "constant"}
        small |= {"optimizer": "adam", "weight_decay": 0.0, "label_smoothing": 0.0, "flip": False, "shift": 0.0}
        small |= {"normalization": "scale"}
        table = {"spaces": ["any"], "data": {"name": "digits", "validation": 0.2}, "budget": {"trials": 9}} | sections
        table["training"] = small | table.get("training", {})
        table["search"] = {"pruner": "NopPruner"} | table.get("search", {})
        return validate(table, "test")

    return make


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Callable[[StudyConfig], Any]]:
    """Returns a maker of studies, each in a database of its own."""
    from searchcnn.search import make_pruner, make_sampler
    from searchcnn.store import StoredStudy, open_storage, parse_url

    numbers = itertools.count()
    opened: list[StoredStudy] = []

    def make(config: StudyConfig) -> StoredStudy:
        sampler = make_sampler(config.search.sampler, config.seed)
        pruner = make_pruner(config.search.pruner, config.training.max_epochs)
        storage = open_storage(parse_url(f"sqlite:///{tmp_path}/{next(numbers)}.db"))
        opened.append(StoredStudy(storage, "study", config.objective, sampler, pruner))
        return opened[-1]

    yield make
    for study in opened:
        study.storage.close()


@pytest.fixture
def begin(stored: Callable[[StudyConfig], Any]) -> Callable[..., Any]:
    """Returns a maker of trials, each of a study of its own: ``begin(config, number=3)``."""
    from optuna.trial import TrialState

    from searchcnn.search import Budget, Trial

    def make(config: StudyConfig, number: int = 0, stop: threading.Event | None = None, hear: Hear = ignore) -> Trial:
        study = stored(config)
        for _ in range(number):
            study.optuna.tell(study.optuna.ask(), state=TrialState.FAIL)
        trial, stop = study.start_trial(), stop or threading.Event()
        return Trial(trial, study, study.optuna.sampler, config.seed, Budget(None, None), hear, stop)

    return make
