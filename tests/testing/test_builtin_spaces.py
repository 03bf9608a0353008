"""The built-in search spaces do what every search space has to; whatever lies in `plugins/` is tested.

Few points, so that it takes seconds; CI checks 200 of each with `searchcnn plugins check`.
"""

from pathlib import Path

import pytest

from searchcnn.spaces import discover
from searchcnn.study import Workspace
from searchcnn.testing import SearchSpaceTests

pytestmark = pytest.mark.slow

EMPTY = Path(__file__).parent
"""A folder without plugins of its own."""
BUILT_IN = [plugin.name for plugin in discover(Workspace(EMPTY)) if plugin.source == "built-in"]


def test_there_are_some() -> None:
    assert "sequential" in BUILT_IN


for name in BUILT_IN:
    title = f"Test{name.title().replace('_', '')}"
    globals()[title] = type(title, (SearchSpaceTests,), {"space": name, "samples": 6, "workspace": EMPTY})
