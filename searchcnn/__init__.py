"""Finds a convolutional network for your images: plugin search spaces for Keras, driven by Optuna."""

import importlib
from typing import TYPE_CHECKING, Any

from searchcnn.errors import InfeasibleError, SearchcnnError

if TYPE_CHECKING:
    from searchcnn.proposal.creation import new_study
    from searchcnn.run import Study
    from searchcnn.spaces import Phase, SearchSpace
    from searchcnn.study import StudyConfig, Workspace
    from searchcnn.workers import optimize

__version__ = "0.1.0"

__all__ = [
    "InfeasibleError",
    "Phase",
    "SearchSpace",
    "SearchcnnError",
    "Study",
    "StudyConfig",
    "Workspace",
    "__version__",
    "new_study",
    "optimize",
]

_HOMES = {
    "Phase": "searchcnn.spaces",
    "SearchSpace": "searchcnn.spaces",
    "Study": "searchcnn.run",
    "StudyConfig": "searchcnn.study",
    "Workspace": "searchcnn.study",
    "new_study": "searchcnn.proposal.creation",
    "optimize": "searchcnn.workers",
}
"""Where public names live; they are imported when they are asked for, because some of them import Keras."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
