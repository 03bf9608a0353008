"""The database of a study. Knows nothing of Keras.

Optuna is imported when `StoredStudy` or `open_storage` is asked for, not before: `searchcnn status` needs neither.
"""

from typing import TYPE_CHECKING

from searchcnn.lazy import import_lazily
from searchcnn.store.attributes import (
    ENDED,
    EXHAUSTED,
    LAST,
    MACHINE,
    MACS,
    PACE,
    SCORES,
    SETUP,
    SPACE,
    SPENT,
    STRETCHES,
)
from searchcnn.store.curves import read_curves
from searchcnn.store.database import find_sqlite_file, parse_url
from searchcnn.store.spent import Spent
from searchcnn.store.summary import (
    SpaceSummary,
    StudySummary,
    TrialSummary,
    is_running,
    read_config,
    read_if_begun,
    read_summary,
)

if TYPE_CHECKING:
    from searchcnn.store.failures import DATABASE_ERRORS, guard_database
    from searchcnn.store.leases import LeaseLostError, NoTrialLeftError
    from searchcnn.store.opening import open_storage
    from searchcnn.store.study import StoredStudy
    from searchcnn.store.takeover import DEADLY, Takeover

__all__ = [
    "DATABASE_ERRORS",
    "DEADLY",
    "ENDED",
    "EXHAUSTED",
    "LAST",
    "MACHINE",
    "MACS",
    "PACE",
    "SCORES",
    "SETUP",
    "SPACE",
    "SPENT",
    "STRETCHES",
    "LeaseLostError",
    "NoTrialLeftError",
    "SpaceSummary",
    "Spent",
    "StoredStudy",
    "StudySummary",
    "Takeover",
    "TrialSummary",
    "find_sqlite_file",
    "guard_database",
    "is_running",
    "open_storage",
    "parse_url",
    "read_config",
    "read_curves",
    "read_if_begun",
    "read_summary",
]

HOMES = {
    "DATABASE_ERRORS": "searchcnn.store.failures",
    "DEADLY": "searchcnn.store.takeover",
    "LeaseLostError": "searchcnn.store.leases",
    "NoTrialLeftError": "searchcnn.store.leases",
    "StoredStudy": "searchcnn.store.study",
    "Takeover": "searchcnn.store.takeover",
    "guard_database": "searchcnn.store.failures",
    "open_storage": "searchcnn.store.opening",
}
"""Where public names live that are imported when they are asked for: these modules import Optuna."""

__getattr__, __dir__ = import_lazily(globals(), HOMES)
