"""What the built-in spaces promise beyond the checks of `searchcnn.testing`: a network at each point, for any image."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from searchcnn.backend import start_keras
from searchcnn.spaces import LoadedSpace, load_space
from searchcnn.study import Workspace

start_keras()

from searchcnn.testing.sample import RandomHyperParameters  # noqa: E402

SHAPES = [(1, 1, 1), (7, 5, 3), (8, 8, 1), (28, 28, 1), (32, 32, 3), (32, 32, 4)]
FEW, MORE = range(5), range(5, 25)
"""Seeds of random points."""
REFERENCES = {"inception": "1409.4842", "residual": "1512.03385", "sequential": "1409.1556", "transfer": "1411.1792"}
"""Numbers of the papers at arXiv."""


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], LoadedSpace]:
    """Returns a loader of built-in spaces."""
    workspace = Workspace(tmp_path_factory.mktemp("empty"))
    return lambda name: load_space(name, workspace)


@pytest.mark.parametrize("seeds", [FEW, pytest.param(MORE, marks=pytest.mark.slow)], ids=["few", "more"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["inception", "residual", "sequential"])
def test_every_point_is_a_network_for_every_image(
    load: Callable[[str], LoadedSpace],
    sketch: Callable[[Any, Any], Any],
    name: str,
    shape: tuple[int, int, int],
    seeds: Sequence[int],
) -> None:
    space = load(name).create(shape, 7)
    for seed in seeds:
        hp = RandomHyperParameters(seed)
        model = sketch(space, hp)
        assert model.input_shape == (None, *shape), hp.values
        assert {output.shape for output in model.outputs} == {(None, 7)}, hp.values


@pytest.mark.parametrize("name", REFERENCES)
def test_a_space_has_the_name_of_its_file_and_a_reference(load: Callable[[str], LoadedSpace], name: str) -> None:
    space = load(name)
    assert (space.name, Path(space.location).name) == (name, f"{name}.py")
    assert REFERENCES[name] in space.target.reference
