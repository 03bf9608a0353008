"""Search spaces: their contract, and how plugins are found and loaded. Knows neither Optuna nor storage.

Keras is imported when the contract (`SearchSpace`, `Phase`) is asked for or a plugin is loaded, not before.
"""

from typing import TYPE_CHECKING, Any

from searchcnn.spaces.discovery import discover, find
from searchcnn.spaces.loading import LoadedSpace, load, load_space, load_spaces
from searchcnn.spaces.plugin import Plugin

if TYPE_CHECKING:
    from searchcnn.spaces.space import AUXILIARY_WEIGHT, Phase, SearchSpace

__all__ = [
    "AUXILIARY_WEIGHT",
    "LoadedSpace",
    "Phase",
    "Plugin",
    "SearchSpace",
    "discover",
    "find",
    "load",
    "load_space",
    "load_spaces",
]


def __getattr__(name: str) -> Any:
    if name not in ("AUXILIARY_WEIGHT", "Phase", "SearchSpace"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from searchcnn.backend import start_keras

    start_keras()
    from searchcnn.spaces import space

    return getattr(space, name)
