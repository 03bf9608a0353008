"""The built-in space `inception`: GoogLeNet, and random networks for all kinds of images."""

import math
from collections.abc import Callable
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
from searchcnn.training.cost import measure_cost  # noqa: E402

IMAGENET = ((224, 224, 3), 10)
CIFAR10 = ((32, 32, 3), 10)
PATHS = ["1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj"]
Sketch = Callable[[Any, Any], Any]


@pytest.fixture(scope="module")
def inception(tmp_path_factory: pytest.TempPathFactory) -> LoadedSpace:
    return load_space("inception", Workspace(tmp_path_factory.mktemp("empty")))


@pytest.fixture(scope="module")
def googlenet(inception: LoadedSpace) -> Any:
    space = inception.create(*IMAGENET)
    return space.build(CheckedHyperParameters(inception.baselines(space)["googlenet"]))


def cut_heads(model: Any) -> Any:
    """Returns the network without its auxiliary heads."""
    return keras.Model(model.inputs, model.outputs[0])


def list_modules(model: Any) -> list[str]:
    return [layer.name.removeprefix("inception_") for layer in model.layers if type(layer).__name__ == "Concatenate"]


def list_layers(model: Any, kind: str) -> list[Any]:
    return [layer for layer in model.layers if type(layer).__name__ == kind]


def describe(model: Any) -> list[str]:
    """Returns each layer's kind and settings, without its number."""
    settings = [{**layer.get_config(), "name": ""} for layer in model.layers]
    return [f"{type(layer).__name__} {config}" for layer, config in zip(model.layers, settings, strict=True)]


def test_googlenet_has_its_number_of_parameters(googlenet: Any) -> None:
    assert googlenet.count_params() == 10_334_030
    assert cut_heads(googlenet).count_params() == 5_983_802


@pytest.mark.parametrize(
    ("module", "filters"),
    [
        ("3a", [64, 96, 128, 16, 32, 32]),
        ("3b", [128, 128, 192, 32, 96, 64]),
        ("4a", [192, 96, 208, 16, 48, 64]),
        ("4d", [112, 144, 288, 32, 64, 64]),
        ("4e", [256, 160, 320, 32, 128, 128]),
        ("5b", [384, 192, 384, 48, 128, 128]),
    ],
)
def test_the_modules_of_googlenet_are_those_of_the_paper(googlenet: Any, module: str, filters: list[int]) -> None:
    paths = [googlenet.get_layer(f"inception_{module}_{path}") for path in PATHS]
    assert [layer.filters for layer in paths] == filters
    assert [layer.kernel_size[0] for layer in paths] == [1, 1, 3, 1, 5, 1]
    joined = googlenet.get_layer(f"inception_{module}")
    assert [x.shape[-1] for x in joined.input] == [filters[0], filters[2], filters[4], filters[5]]


def test_the_maps_of_googlenet_are_those_of_the_paper(googlenet: Any) -> None:
    assert list_modules(googlenet) == ["3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"]
    shapes = {"3a": (28, 28, 256), "3b": (28, 28, 480), "4a": (14, 14, 512), "4e": (14, 14, 832), "5b": (7, 7, 1024)}
    assert {name: googlenet.get_layer(f"inception_{name}").output.shape[1:] for name in shapes} == shapes
    stem = [(layer.filters, layer.kernel_size, layer.strides) for layer in list_layers(googlenet, "Conv2D")[:3]]
    assert stem == [(64, (7, 7), (2, 2)), (64, (1, 1), (1, 1)), (192, (3, 3), (1, 1))]
    assert [layer.rate for layer in list_layers(cut_heads(googlenet), "Dropout")] == [0.4]


def test_the_heads_of_googlenet_stand_after_4a_and_4d(googlenet: Any) -> None:
    heads = [keras.Model(googlenet.inputs, output) for output in googlenet.outputs[1:]]
    assert [list_modules(head)[-1] for head in heads] == ["4a", "4d"]
    for head in heads:
        (pool,) = list_layers(head, "AveragePooling2D")
        assert (pool.pool_size, pool.strides, pool.output.shape[1:3]) == ((5, 5), (3, 3), (4, 4))
        assert list_layers(head, "Flatten")[0].output.shape == (None, 4 * 4 * 128)
        assert [layer.units for layer in list_layers(head, "Dense")] == [1024, 10]
        assert [layer.rate for layer in list_layers(head, "Dropout")] == [0.7]


def test_the_weights_of_googlenet_start_as_in_caffe(googlenet: Any) -> None:
    convolutions = list_layers(googlenet, "Conv2D")
    assert len(convolutions) == 3 + 9 * 6 + 2
    for layer in convolutions:
        assert type(layer.kernel_initializer).__name__ == "GlorotUniform"
        assert (np.asarray(layer.bias) == np.float32(0.2)).all()


def test_googlenet_is_also_there_without_heads(inception: LoadedSpace, googlenet: Any) -> None:
    space = inception.create(*IMAGENET)
    alone = space.build(CheckedHyperParameters(inception.baselines(space)["googlenet_without_heads"]))
    assert len(alone.outputs) == 1
    assert [weight.shape for weight in alone.weights] == [weight.shape for weight in cut_heads(googlenet).weights]


def test_the_small_network_is_small(inception: LoadedSpace, sketch: Sketch) -> None:
    space = inception.create(*CIFAR10)
    price = measure_cost(sketch(space, CheckedHyperParameters(inception.baselines(space)["inception_small"])))
    assert (price.params, price.macs) == (154_050, 8_746_720)


@pytest.mark.parametrize(("side", "stem"), [(32, "small"), (63, "small"), (64, "imagenet"), (224, "imagenet")])
def test_the_stem_fits_the_images(inception: LoadedSpace, sketch: Sketch, side: int, stem: str) -> None:
    hp = CheckedHyperParameters()
    model = sketch(inception.create((side, side, 3), 10), hp)
    assert hp.get("stem") == stem
    assert measure_cost(model).params < 300_000
    assert model.get_layer("inception_3a").output.shape[1] == math.ceil(side / (2 if stem == "small" else 8))


def test_ratios_of_one_width(inception: LoadedSpace, sketch: Sketch) -> None:
    ratios = {"ratio_1x1": 0.75, "ratio_3x3_reduce": 0.5, "ratio_5x5": 0.375, "ratio_5x5_reduce": 0.25}
    values = {"widths": "ratios", "width": 64, "growth": 2.0, **ratios, "ratio_pool_proj": 0.5}
    model = sketch(inception.create(*CIFAR10), CheckedHyperParameters(values))
    for module, filters in {"3a": [48, 32, 64, 6, 24, 32], "4a": [96, 64, 128, 12, 48, 64]}.items():
        assert [model.get_layer(f"inception_{module}_{path}").filters for path in PATHS] == filters


@pytest.mark.parametrize(("depth", "places"), [(1, ["4a"]), (2, ["4a"]), (3, ["4a", "4b"]), (5, ["4a", "4d"])])
def test_heads_stand_in_the_middle_stage(inception: LoadedSpace, sketch: Sketch, depth: int, places: list[str]) -> None:
    model = sketch(inception.create(*CIFAR10), CheckedHyperParameters({"modules_4": depth, "auxiliary_heads": True}))
    heads = [keras.Model(model.inputs, output) for output in model.outputs[1:]]
    assert [list_modules(head)[-1] for head in heads] == places


@pytest.mark.parametrize(("side", "positions"), [(8, 1), (28, 4), (64, 3), (150, 4)])
def test_a_head_looks_at_few_positions(inception: LoadedSpace, sketch: Sketch, side: int, positions: int) -> None:
    values = {"stem": "small", "stem_stride": 1, "auxiliary_heads": True}
    model = sketch(inception.create((side, side, 1), 2), CheckedHyperParameters(values))
    (pool,) = list_layers(model, "AveragePooling2D")
    assert pool.output.shape[1:3] == (positions, positions)


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 3)], ids=str)
def test_outputs_are_probabilities(inception: LoadedSpace, shape: tuple[int, int, int]) -> None:
    model = inception.create(shape, 7).build(CheckedHyperParameters({"modules_4": 3, "auxiliary_heads": True}))
    images = np.random.default_rng(0).random((2, *shape), dtype="float32")
    for outputs in map(np.asarray, model(images)):
        assert (outputs >= 0).all()
        np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)


def test_no_hyperparameter_is_declared_in_vain(inception: LoadedSpace, sketch: Sketch) -> None:
    space = inception.create((8, 8, 1), 3)
    for seed in range(5):
        hp = RandomHyperParameters(seed)
        model = sketch(space, hp)
        assert (len(model.outputs) > 1) == hp.get("auxiliary_heads"), hp.values
        asked = {item.name for item in hp.space}
        assert ("stem_stride" in asked) == (hp.get("stem") == "small")
        assert ("modules_5" in asked) == (hp.get("stages") == 3)
        assert ("auxiliary_units" in asked) == hp.get("auxiliary_heads")
        assert ("growth" in asked) == ("ratio_1x1" in asked) == (hp.get("widths") == "ratios")
        free = list_modules(model) if hp.get("widths") == "free" else []
        filters = {f"filters_{module}_{path}" for module in free for path in PATHS}
        assert {name for name in asked if name.startswith("filters_")} == filters


@pytest.mark.parametrize("widths", ["ratios", "free"])
def test_each_hyperparameter_changes_even_the_narrowest_network(
    inception: LoadedSpace, sketch: Sketch, widths: str
) -> None:
    space = inception.create((8, 8, 1), 3)
    hp = CheckedHyperParameters(
        {"widths": widths, "width": 16, "growth": 1.0, "stages": 2, "modules_4": 1, "auxiliary_heads": True}
    )
    before = describe(sketch(space, hp))
    for item in hp.space:
        if widths == "ratios" or item.name.startswith("filters_3a"):  # the rest is alike
            other = next(value for p in (0.01, 0.99) if (value := item.prob_to_value(p)) != hp.get(item.name))
            changed = CheckedHyperParameters({**hp.values, item.name: other})
            assert describe(sketch(space, changed)) != before, item.name


def test_the_weight_of_the_heads_is_searched(inception: LoadedSpace, sketch: Sketch) -> None:
    space = inception.create((8, 8, 1), 3)
    hp = CheckedHyperParameters({"auxiliary_heads": True})
    sketch(space, hp)
    assert "auxiliary_weight" not in hp.values
    assert space.auxiliary_weight(hp) == 0.3
    assert "auxiliary_weight" in hp.values
    assert space.auxiliary_weight(CheckedHyperParameters({"auxiliary_weight": 0.7})) == 0.7
