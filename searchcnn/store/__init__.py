"""The database of a study. Knows nothing of Keras.

Optuna is imported when `StoredStudy` or `open_storage` is asked for, not before: `searchcnn status` needs neither.
"""

import importlib
from typing import TYPE_CHECKING, Any

from searchcnn.store.database import parse_url, sqlite_file
from searchcnn.store.summary import SpaceSummary, StudySummary, TrialSummary, read_begun, read_config, read_summary

if TYPE_CHECKING:
    from searchcnn.store.failures import DATABASE_ERRORS, explaining
    from searchcnn.store.leases import LeaseLostError, NoTrialLeftError
    from searchcnn.store.opening import open_storage
    from searchcnn.store.study import Epoch, StoredStudy
    from searchcnn.store.takeover import DEADLY, Takeover

__all__ = [
    "DATABASE_ERRORS",
    "DEADLY",
    "Epoch",
    "LeaseLostError",
    "NoTrialLeftError",
    "SpaceSummary",
    "StoredStudy",
    "StudySummary",
    "Takeover",
    "TrialSummary",
    "explaining",
    "open_storage",
    "parse_url",
    "read_begun",
    "read_config",
    "read_summary",
    "sqlite_file",
]

HOMES = {
    "DATABASE_ERRORS": "failures",
    "DEADLY": "takeover",
    "Epoch": "study",
    "LeaseLostError": "leases",
    "NoTrialLeftError": "leases",
    "StoredStudy": "study",
    "Takeover": "takeover",
    "explaining": "failures",
    "open_storage": "opening",
}
"""The modules of what is imported only when it is asked for."""


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(importlib.import_module(f"searchcnn.store.{HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
