"""The built-in space `residual`: its baselines, what a block is made of, and random networks for all images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backend import start_keras
from searchcnn.search.hyperparameters import CheckedHyperParameters
from searchcnn.spaces import LoadedSpace, load_space
from searchcnn.study import Workspace

start_keras()

import keras  # noqa: E402

from searchcnn.testing.sample import RandomHyperParameters  # noqa: E402

SHAPES = [(1, 1, 1), (7, 5, 3), (8, 8, 1), (28, 28, 1), (32, 32, 3)]
CIFAR10 = ((32, 32, 3), 10)
SMALL = ((8, 8, 1), 3)
TINY = {"stages": 2, "filters": 16, "stem_reduction": "none"}
Sketch = Callable[[Any, Any], Any]


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> LoadedSpace:
    return load_space("residual", Workspace(tmp_path_factory.mktemp("empty")))


def list_layers(model: Any, name: str) -> list[Any]:
    return [layer for layer in model.layers if type(layer).__name__ == name]


def describe(model: Any) -> str:
    """Returns the model's layers and their connections, without running numbers and the model's own name."""
    names = [layer.name for layer in model.layers]
    text = json.dumps({**model.get_config(), "name": ""}, default=str)
    for number, name in enumerate(names):
        text = text.replace(f'"{name}"', f'"{number}"')
    return text


def make_images(shape: tuple[int, int, int]) -> Any:
    return np.random.default_rng(0).random((2, *shape), dtype="float32")


@pytest.mark.parametrize(
    ("name", "parameters", "adds"),
    [("resnet20", 274_042, 9), ("residual_80k", 78_714, 3), ("residual_380k", 383_466, 4)],
)
def test_baselines_have_their_number_of_parameters_and_blocks(
    residual: LoadedSpace, sketch: Sketch, name: str, parameters: int, adds: int
) -> None:
    space = residual.create(*CIFAR10)
    model = sketch(space, CheckedHyperParameters(residual.baselines(space)[name]))
    assert model.count_params() == parameters
    assert len(list_layers(model, "Add")) == adds


def test_resnet20_is_the_network_of_the_paper(residual: LoadedSpace, sketch: Sketch) -> None:
    space = residual.create(*CIFAR10)
    model = sketch(space, CheckedHyperParameters(residual.baselines(space)["resnet20"]))
    convolutions = [layer for layer in list_layers(model, "Conv2D") if layer.kernel_size == (3, 3)]
    assert len(convolutions) + 1 == 20
    assert [add.output.shape[1:] for add in list_layers(model, "Add")] == [
        *[(32, 32, 16)] * 3,
        *[(16, 16, 32)] * 3,
        *[(8, 8, 64)] * 3,
    ]
    assert not any(layer.use_bias for layer in list_layers(model, "Conv2D"))
    assert not list_layers(model, "Dropout")


def test_a_block_adds_its_input_and_only_a_change_of_shape_is_projected(residual: LoadedSpace) -> None:
    model = residual.create(*SMALL).build(CheckedHyperParameters({**TINY, "blocks_2": 2}))
    projections = [layer for layer in list_layers(model, "Conv2D") if layer.kernel_size == (1, 1)]
    assert [(layer.filters, layer.strides) for layer in projections] == [(32, (2, 2))]
    first, _, third = list_layers(model, "Add")
    assert first.input[0] is list_layers(model, "Activation")[0].output
    assert third.input[0].shape == third.input[1].shape


@pytest.mark.parametrize(("reduction", "side"), [("none", 32), ("stride", 16), ("pool", 16)])
def test_the_stem_reduces_the_map(residual: LoadedSpace, sketch: Sketch, reduction: str, side: int) -> None:
    model = sketch(residual.create(*CIFAR10), CheckedHyperParameters({"stem_reduction": reduction}))
    assert [add.output.shape[1] for add in list_layers(model, "Add")] == [side, side // 2, side // 4]


@pytest.mark.parametrize("values", [{}, {"block": "bottleneck"}, {"convolution": "separable"}], ids=str)
def test_without_batch_norm_each_branch_starts_at_zero(residual: LoadedSpace, values: dict[str, Any]) -> None:
    model = residual.create(*SMALL).build(
        CheckedHyperParameters({**TINY, **values, "batch_norm": False, "pre_activation": True})
    )
    blocks = keras.Model(
        model.input, [tensor for add in list_layers(model, "Add") for tensor in (*add.input, add.output)]
    )
    outputs = [np.asarray(output) for output in blocks(make_images((8, 8, 1)))]
    assert not list_layers(model, "BatchNormalization")
    for shortcut, branch, total in zip(*[iter(outputs)] * 3, strict=True):
        assert not branch.any()
        assert shortcut.any()
        np.testing.assert_array_equal(total, shortcut)


def test_without_batch_norm_a_network_learns_from_the_first_step(residual: LoadedSpace) -> None:
    model = residual.create(*SMALL).build(CheckedHyperParameters({**TINY, "batch_norm": False, "head_dropout": 0.0}))
    last = [layer for layer in list_layers(model, "Conv2D") if not np.asarray(layer.kernel).any()]
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.train_on_batch(make_images((8, 8, 1)), np.array([0, 1]))
    assert len(last) == 2
    assert all(np.asarray(layer.kernel).any() for layer in last)


@pytest.mark.parametrize("pre_activation", [False, True])
def test_normalisation_and_activation_stand_on_their_side_of_the_sum(
    residual: LoadedSpace, pre_activation: bool
) -> None:
    model = residual.create(*SMALL).build(CheckedHyperParameters({**TINY, "pre_activation": pre_activation}))
    kinds = [type(layer).__name__ for layer in model.layers]
    after = kinds[kinds.index("Add") + 1]
    assert after == ("BatchNormalization" if pre_activation else "Activation")
    summands = {type(tensor._keras_history.operation).__name__ for tensor in list_layers(model, "Add")[1].input}
    assert summands == ({"Conv2D"} if pre_activation else {"BatchNormalization"})


def test_squeeze_excite_gates_the_channels_of_every_branch(residual: LoadedSpace) -> None:
    model = residual.create(*SMALL).build(CheckedHyperParameters({**TINY, "squeeze_excite": True}))
    gates = list_layers(model, "Multiply")
    assert [gate.input[1].shape for gate in gates] == [(None, 1, 1, 16), (None, 1, 1, 32)]
    assert [gate.output for gate in gates] == [add.input[1] for add in list_layers(model, "Add")]
    values = np.asarray(keras.Model(model.input, gates[1].input[1])(make_images((8, 8, 1))))
    assert ((values > 0) & (values < 1)).all()


def test_the_chance_to_skip_a_branch_grows_linearly_with_depth(residual: LoadedSpace) -> None:
    values = {**TINY, "stochastic_depth": 0.5, "blocks_1": 2, "blocks_2": 2, "head_dropout": 0.0}
    drops = list_layers(residual.create(*SMALL).build(CheckedHyperParameters(values)), "Dropout")
    assert [layer.rate for layer in drops] == [0.125, 0.25, 0.375, 0.5]
    images = np.asarray(drops[-1](np.ones((64, 4, 4, 32), "float32"), training=True))
    assert {image.min() == image.max() for image in images} == {True}
    assert {float(image.max()) for image in images} == {0.0, 2.0}


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_separable_convolutions_are_depthwise_and_cheaper(residual: LoadedSpace, block: str) -> None:
    space = residual.create(*SMALL)
    plain = space.build(CheckedHyperParameters({**TINY, "block": block}))
    separable = space.build(CheckedHyperParameters({**TINY, "block": block, "convolution": "separable"}))
    depthwise = list_layers(separable, "SeparableConv2D")
    assert len(depthwise) == (4 if block == "basic" else 2)
    assert depthwise[0].depthwise_kernel.shape == (3, 3, 16 if block == "basic" else 8, 1)
    assert not list_layers(plain, "SeparableConv2D")
    assert separable.count_params() < plain.count_params()


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 3), (32, 32, 3)], ids=str)
def test_outputs_are_probabilities(residual: LoadedSpace, shape: tuple[int, int, int]) -> None:
    for seed in range(2):
        model = residual.create(shape, 7).build(RandomHyperParameters(seed))
        outputs = np.asarray(model(make_images(shape)))
        assert (outputs >= 0).all()
        np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)


def test_a_network_is_saved_and_loaded_by_plain_keras(residual: LoadedSpace, tmp_path: Path) -> None:
    values = {**TINY, "convolution": "separable", "squeeze_excite": True, "stochastic_depth": 0.25}
    model = residual.create(*SMALL).build(CheckedHyperParameters(values))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(make_images((8, 8, 1))), model(make_images((8, 8, 1))))


def test_no_hyperparameter_is_declared_in_vain(residual: LoadedSpace, sketch: Sketch) -> None:
    space = residual.create(*SMALL)
    for seed in range(5):
        hp = RandomHyperParameters(seed)
        sketch(space, hp)
        numbers = {int(name[-1]) for name in hp.values if name.startswith("blocks_")}
        assert numbers == set(range(1, hp.get("stages") + 1))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_every_hyperparameter_asked_for_changes_the_network(
    residual: LoadedSpace, sketch: Sketch, batch_norm: bool
) -> None:
    space = residual.create(*SMALL)
    hp = CheckedHyperParameters({**TINY, "batch_norm": batch_norm})
    graph = describe(sketch(space, hp))
    assert describe(sketch(space, CheckedHyperParameters(hp.values))) == graph
    for item in hp.space:
        other = next(value for value in map(item.prob_to_value, (0.01, 0.99)) if value != hp.get(item.name))
        assert describe(sketch(space, CheckedHyperParameters({**hp.values, item.name: other}))) != graph, item.name
