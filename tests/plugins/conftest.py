"""What the tests of the built-in search spaces share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.spaces import LoadedSpace, load_space
from searchcnn.study import Workspace

start_keras()

import keras  # noqa: E402


@pytest.fixture(scope="session")
def sketch() -> Callable[[Any, Any], Any]:
    """Returns a builder of networks without weights, which is several times faster: ``sketch(space, hp)``."""

    def build(space: Any, hp: Any) -> Any:
        with keras.StatelessScope(initialize_variables=False):
            return space.build(hp)

    return build


@pytest.fixture(scope="session")
def transfer(tmp_path_factory: pytest.TempPathFactory) -> LoadedSpace:
    """Returns the search space of pretrained networks."""
    return load_space("transfer", Workspace(tmp_path_factory.mktemp("empty")))


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a file of weights of ``MobileNet(alpha=0.25)`` that no other network has.

    They are random, but the statistics of its normalisation suit them, so that its features tell images apart.
    """
    keras.utils.set_random_seed(7)
    network = keras.applications.MobileNet(alpha=0.25, include_top=False, weights=None, input_shape=(32, 32, 3))
    random = np.random.default_rng(7)
    for layer in network.layers:
        layer.momentum = 0.0
    network(random.uniform(-1, 1, (64, 4, 4, 3)).repeat(8, 1).repeat(8, 2), training=True)
    network.set_weights([weight + 0.01 * random.random(weight.shape) for weight in network.get_weights()])
    path = tmp_path_factory.mktemp("weights") / "small.weights.h5"
    network.save_weights(path)
    return path
