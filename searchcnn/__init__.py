"""Finds a convolutional network for your images: plugin search spaces for Keras, driven by Optuna."""

from typing import TYPE_CHECKING

from searchcnn.errors import InfeasibleError, SearchcnnError
from searchcnn.lazy import import_lazily

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

HOMES = {
    "Phase": "searchcnn.spaces",
    "SearchSpace": "searchcnn.spaces",
    "Study": "searchcnn.run",
    "StudyConfig": "searchcnn.study",
    "Workspace": "searchcnn.study",
    "new_study": "searchcnn.proposal.creation",
    "optimize": "searchcnn.workers",
}
"""Where public names live that are imported when they are asked for: some of these modules import Keras."""

__getattr__, __dir__ = import_lazily(globals(), HOMES)
