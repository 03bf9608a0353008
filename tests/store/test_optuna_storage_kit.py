"""Optuna's own tests of a storage: samplers and pruners of others rely on what they check."""

import gc
import warnings
from collections.abc import Iterator
from contextlib import closing

import pytest
from optuna.storages import BaseStorage
from optuna.testing.pytest_storages import StorageTestCase
from sqlalchemy.engine import URL

from searchcnn.store import open_storage
from searchcnn.store.cache import CachedStorage

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def collect() -> Iterator[None]:
    """Collects the storages that a test has made and has not closed."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def storage(url: URL, is_cached: bool) -> Iterator[BaseStorage]:
    """Returns an empty storage."""
    with closing(open_storage(url)) as opened:
        yield CachedStorage(opened) if is_cached else opened


@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("is_cached", [False, True], ids=["plain", "cached"])
class TestStorage(StorageTestCase):
    """All of them, with each database, with Optuna's cache and without."""
