"""Search spaces: their contract, and how plugins are found and loaded. Knows neither Optuna nor storage.

Keras is imported when the contract (`SearchSpace`, `Phase`) is asked for or a plugin is loaded, not before.
"""

from typing import TYPE_CHECKING

from searchcnn.lazy import import_lazily
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

HOMES = dict.fromkeys(("AUXILIARY_WEIGHT", "Phase", "SearchSpace"), "searchcnn.spaces.space")
"""Where public names live that are imported when they are asked for: this module imports Keras."""

__getattr__, __dir__ = import_lazily(globals(), HOMES)
