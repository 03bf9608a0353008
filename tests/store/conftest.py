"""A study in a real SQLite file."""

from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from sqlalchemy.engine import URL

from searchcnn.events import Hear, ignore
from searchcnn.search import make_sampler
from searchcnn.store import StoredStudy, open_storage, parse_url
from searchcnn.study import ComponentConfig, Objective
from searchcnn.study.objective import Direction

Open = Callable[..., StoredStudy]


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    if getattr(request, "param", "") == "postgresql":
        new: URL = request.getfixturevalue("postgres").new()
        return new
    return parse_url(f"sqlite:///{tmp_path / 'x.db'}")


@pytest.fixture
def open_study(url: URL) -> Iterator[Open]:
    """Returns an opener of the study; each call stands for another process's view of the database."""
    opened: list[StoredStudy] = []

    def open_(name: str = "x", direction: Direction = "maximize", hear: Hear = ignore) -> StoredStudy:
        sampler = make_sampler(ComponentConfig(name="RandomSampler"), 0)
        opened.append(
            StoredStudy(
                open_storage(url, hear), name, Objective("val_accuracy", direction), sampler, optuna.pruners.NopPruner()
            )
        )
        return opened[-1]

    yield open_
    for study in opened:
        study.storage.close()
