"""Finds a convolutional network for your images: plugin search spaces for Keras, driven by Optuna."""

from typing import TYPE_CHECKING

from searchcnn.errors import InfeasibleError, SearchcnnError
from searchcnn.lazy import import_lazily

if TYPE_CHECKING:
    from searchcnn.spaces import Phase, SearchSpace
    from searchcnn.study_object import Study, optimize

__version__ = "0.1.0"

__all__ = [
    "InfeasibleError",
    "Phase",
    "SearchSpace",
    "SearchcnnError",
    "Study",
    "__version__",
    "optimize",
]

HOMES = {
    "Phase": "searchcnn.spaces",
    "SearchSpace": "searchcnn.spaces",
    "Study": "searchcnn.study_object",
    "optimize": "searchcnn.study_object",
}
"""Where public names live that are imported when they are asked for: some of these modules import Keras."""

__getattr__, __dir__ = import_lazily(globals(), HOMES)
