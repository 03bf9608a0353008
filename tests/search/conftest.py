"""Studies in real SQLite files, searched with a fake evaluator."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from searchcnn.events import ignore
from searchcnn.search import Budget, SeededSampler, Trial, make_pruner, make_sampler
from searchcnn.store import StoredStudy, open_storage, parse_url
from searchcnn.study import ComponentConfig, Objective
from searchcnn.study.objective import Direction

OpenStudy = Callable[..., tuple[StoredStudy, SeededSampler]]


@pytest.fixture
def open_study(tmp_path: Path) -> OpenStudy:
    """Returns an opener of a study; each call stands for a new process: nothing is shared but the file."""

    def open_(
        name: str = "x",
        sampler: str | dict[str, Any] = "RandomSampler",
        pruner: str | dict[str, Any] = "NopPruner",
        seed: int = 0,
        epochs: int = 9,
        direction: Direction = "maximize",
        file: Path | None = None,
    ) -> tuple[StoredStudy, SeededSampler]:
        seeded = make_sampler(make_component(sampler), seed)
        url = parse_url(f"sqlite:///{file or tmp_path / f'{name}.db'}")
        return StoredStudy(
            open_storage(url),
            name,
            Objective("val_accuracy", direction),
            seeded,
            make_pruner(make_component(pruner), epochs),
        ), seeded

    return open_


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return open_storage(parse_url(f"sqlite:///{tmp_path_factory.mktemp('trials') / 'x.db'}"))


@pytest.fixture
def make_trial(storage: Any, request: pytest.FixtureRequest) -> Iterator[Callable[..., Trial]]:
    """Returns a maker of trials of one study, as the search hands them to an evaluator; each ends the one before."""
    sampler = make_sampler(make_component("RandomSampler"), 0)
    study = StoredStudy(storage, request.node.nodeid, Objective("val_accuracy", "maximize"), sampler)
    trials: list[Trial] = []

    def make(**preset: Any) -> Trial:
        if trials:
            study.finish(trials[-1].stored, TrialState.FAIL, None, {})
        if preset:
            study.optuna.enqueue_trial({}, user_attrs={"preset": preset, "origin": "test"})
        trials.append(Trial(study.start_trial(), study, sampler, 0, Budget(None, None), ignore, threading.Event()))
        return trials[-1]

    with study.run():
        yield make


def make_component(config: str | dict[str, Any]) -> ComponentConfig:
    return ComponentConfig.model_validate({"name": config} if isinstance(config, str) else config)
