"""The built-in space `sequential`: its reference networks, and random networks for all kinds of images."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.search.hyperparameters import CheckedHyperParameters
from searchcnn.spaces import LoadedSpace, load_space
from searchcnn.study import Workspace

start_keras()


from searchcnn.testing.sample import RandomHyperParameters  # noqa: E402

SHAPES = [(1, 1, 1), (7, 5, 3), (8, 8, 1), (28, 28, 1), (32, 32, 3)]
FASHION = ((28, 28, 1), 10)
CIFAR10 = ((32, 32, 3), 10)
CIFAR25 = ((32, 32, 3), 25)
Sketch = Callable[[Any, Any], Any]


@pytest.fixture(scope="module")
def sequential(tmp_path_factory: pytest.TempPathFactory) -> LoadedSpace:
    return load_space("sequential", Workspace(tmp_path_factory.mktemp("empty")))


def list_layers(model: Any) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


@pytest.mark.parametrize(
    ("name", "data", "parameters"),
    [
        ("mnist_convnet", FASHION, 93_322),
        ("fashion_convnet", FASHION, 62_346),
        ("cifar10_convnet", CIFAR10, 315_722),
        ("cifar100_dropout", CIFAR25, 1_258_553),
        ("cifar100_bn", CIFAR25, 1_259_321),
    ],
)
def test_reference_networks_have_their_number_of_parameters(
    sequential: LoadedSpace, sketch: Sketch, name: str, data: tuple[tuple[int, int, int], int], parameters: int
) -> None:
    space = sequential.create(*data)
    hp = CheckedHyperParameters(sequential.baselines(space)[name])
    assert sketch(space, hp).count_params() == parameters


def test_the_dropout_network_layer_by_layer(sequential: LoadedSpace) -> None:
    space = sequential.create(*CIFAR25)
    model = space.build(CheckedHyperParameters(sequential.baselines(space)["cifar100_dropout"]))
    block = ["Conv2D", "Activation", "Conv2D", "Activation", "MaxPooling2D", "Dropout"]
    assert list_layers(model) == ["InputLayer", *block, *block, "Flatten", "Dense", "Dropout", "Dense"]
    assert [layer.rate for layer in model.layers if layer.name.startswith("dropout")] == [0.25, 0.25, 0.5]
    assert [layer.padding for layer in model.layers if layer.name.startswith("conv")] == ["same", "valid"] * 2


@pytest.mark.parametrize("place", ["before", "after"])
def test_batch_norm_stands_on_its_side_of_the_activation(sequential: LoadedSpace, place: str) -> None:
    model = sequential.create(*CIFAR10).build(CheckedHyperParameters({"batch_norm": place}))
    pair = ["BatchNormalization", "Activation"]
    assert list_layers(model)[2:4] == (pair if place == "before" else pair[::-1])


def test_the_default_network_is_small(sequential: LoadedSpace) -> None:
    hp = CheckedHyperParameters()
    assert sequential.create(*FASHION).build(hp).count_params() < 150_000
    assert 10 <= len(hp.space) <= 16


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 3), (32, 32, 3)], ids=str)
@pytest.mark.parametrize("pooling", ["max", "average", "stride"])
def test_outputs_are_probabilities(sequential: LoadedSpace, shape: tuple[int, int, int], pooling: str) -> None:
    values = {"blocks": 4, "kernel": 5, "padding": "valid", "pooling": pooling}
    model = sequential.create(shape, 7).build(CheckedHyperParameters(values))
    images = np.random.default_rng(0).random((2, *shape), dtype="float32")
    outputs = np.asarray(model(images))
    assert (outputs >= 0).all()
    np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)


def test_no_hyperparameter_is_declared_in_vain(sequential: LoadedSpace, sketch: Sketch) -> None:
    space = sequential.create((8, 8, 1), 3)
    for seed in range(20):
        hp = RandomHyperParameters(seed)
        sketch(space, hp)
        numbers = {int(name[-1]) for name in hp.values if name.startswith("filters_")}
        assert numbers == set(range(1, hp.get("blocks") + 1))
        assert {f"dense_{i}" in hp.values for i in range(1, hp.get("dense_layers") + 1)} <= {True}
        assert f"dense_{hp.get('dense_layers') + 1}" not in hp.values
