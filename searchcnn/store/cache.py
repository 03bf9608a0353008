"""Optuna's cache of a study's trials, over our storage."""

from typing import Any, TypeVar

from optuna.storages import BaseStorage

from searchcnn.store.connection import repeat_while_lost
from searchcnn.store.optuna_private import Cache
from searchcnn.store.storage import Storage

Class = TypeVar("Class", bound=type[BaseStorage])


def _repeat_all(storage: Class) -> Class:
    """Repeats all that Optuna asks of a storage while the connection is lost."""
    for name in BaseStorage.__abstractmethods__:
        setattr(storage, name, repeat_while_lost(getattr(storage, name)))
    return storage


@_repeat_all
class CachedStorage(Cache):
    """Optuna's cache over `Storage`; attributes of a running trial are read without the rest of it."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage)
        self._storage = storage
        self.connection = storage.connection

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """Returns a trial's attributes of Optuna's own."""
        return self._storage.get_trial_system_attrs(trial_id)
