"""The database of a study. Knows nothing of Keras.

Optuna is imported when `StoredStudy` or `open_storage` is asked for, not before: `searchcnn status` needs neither.
"""

from typing import TYPE_CHECKING, Any

from searchcnn.store.database import parse_url, sqlite_file
from searchcnn.store.summary import SpaceSummary, StudySummary, TrialSummary, read_summary

if TYPE_CHECKING:
    from searchcnn.store.storage import (
        DATABASE_ERRORS,
        DEADLY,
        LeaseLostError,
        NoTrialLeftError,
        explaining,
        open_storage,
    )
    from searchcnn.store.study import Epoch, StoredStudy

__all__ = [
    "DATABASE_ERRORS",
    "DEADLY",
    "Epoch",
    "LeaseLostError",
    "NoTrialLeftError",
    "SpaceSummary",
    "StoredStudy",
    "StudySummary",
    "TrialSummary",
    "explaining",
    "open_storage",
    "parse_url",
    "read_summary",
    "sqlite_file",
]


def __getattr__(name: str) -> Any:
    if name in ("DATABASE_ERRORS", "DEADLY", "LeaseLostError", "NoTrialLeftError", "explaining", "open_storage"):
        from searchcnn.store import storage

        return getattr(storage, name)
    if name in ("Epoch", "StoredStudy"):
        from searchcnn.store import study

        return getattr(study, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
