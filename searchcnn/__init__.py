"""Finds a convolutional network for your images: plugin search spaces for Keras, driven by Optuna."""

from typing import TYPE_CHECKING, Any

from searchcnn.errors import InfeasibleError

if TYPE_CHECKING:
    from searchcnn.spaces import SearchSpace

__version__ = "0.1.0"

__all__ = ["InfeasibleError", "SearchSpace", "__version__"]


def __getattr__(name: str) -> Any:
    if name != "SearchSpace":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from searchcnn.spaces import SearchSpace  # imports Keras

    return SearchSpace
