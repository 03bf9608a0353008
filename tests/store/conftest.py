"""A study in a real SQLite file."""

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from sqlalchemy.engine import URL

from searchcnn.search import make_sampler
from searchcnn.store import StoredStudy, open_storage, parse_url
from searchcnn.study import ComponentConfig

Open = Callable[..., StoredStudy]


@pytest.fixture
def url(tmp_path: Path) -> URL:
    return parse_url(f"sqlite:///{tmp_path / 'x.db'}")


@pytest.fixture
def open_study(url: URL) -> Open:
    """Returns an opener of the study; each call stands for another process's view of the file."""

    def open_(name: str = "x", maximize: bool = True) -> StoredStudy:
        sampler = make_sampler(ComponentConfig(name="RandomSampler"), 0)
        return StoredStudy(open_storage(url), name, maximize, sampler, optuna.pruners.NopPruner())

    return open_
