"""Checks that search spaces do what every search space has to do, for the authors of plugins.

`SearchSpaceTests` needs pytest; nothing else here does.
"""

from typing import TYPE_CHECKING

from searchcnn.lazy import import_lazily

if TYPE_CHECKING:
    from searchcnn.testing.checks import CHECKS
    from searchcnn.testing.conformance import check_space
    from searchcnn.testing.result import Result
    from searchcnn.testing.space_tests import SearchSpaceTests

__all__ = ["CHECKS", "Result", "SearchSpaceTests", "check_space"]

HOMES = {
    "CHECKS": "searchcnn.testing.checks",
    "Result": "searchcnn.testing.result",
    "SearchSpaceTests": "searchcnn.testing.space_tests",
    "check_space": "searchcnn.testing.conformance",
}
"""Where public names live that are imported when they are asked for: some of these modules import Keras or pytest."""

__getattr__, __dir__ = import_lazily(globals(), HOMES)
