"""Checks that search spaces do what every search space has to do, for the authors of plugins.

`SearchSpaceTests` needs pytest; nothing else here does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from searchcnn.testing.checks import CHECKS
    from searchcnn.testing.conformance import check_space
    from searchcnn.testing.result import Result
    from searchcnn.testing.space_tests import SearchSpaceTests

__all__ = ["CHECKS", "Result", "SearchSpaceTests", "check_space"]

_HOMES = {
    "CHECKS": "checks",
    "Result": "result",
    "SearchSpaceTests": "space_tests",
    "check_space": "conformance",
}
"""Where public names live; they are imported when they are asked for, because some of them import Keras or pytest."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    from searchcnn.backend import start_keras

    start_keras()
    return getattr(importlib.import_module(f"searchcnn.testing.{_HOMES[name]}"), name)
