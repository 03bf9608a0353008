"""Networks as backbones: their blocks, their preprocessing, their two parts, and what can go wrong."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backbones import FROZEN, UNFROZEN, Backbone, Preprocessing, _find_preprocessing
from searchcnn.backend import start_keras
from searchcnn.errors import PluginError
from searchcnn.graph import find_leaves, find_narrow_points
from searchcnn.training.normalization import Normalization

start_keras()

import keras  # noqa: E402

from searchcnn.results import save_model  # noqa: E402
from searchcnn.training import make_classifier as finish  # noqa: E402

layers = keras.layers
SMALL = "MobileNet(alpha=0.25)"
IMAGES = np.random.default_rng(0).random((3, 8, 8, 3), "float32")


def convolution(x: Any, name: str, kernel: int = 3) -> Any:
    x = layers.Conv2D(4, kernel, padding="same", use_bias=False, name=f"{name}_conv")(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def chain(images: Any) -> Any:
    x = images
    for name in ("a", "b", "c"):
        x = convolution(x, name)
        x = layers.Dropout(0.5, name=f"{name}_drop")(x)
    return x


def residual(images: Any) -> Any:
    x = convolution(images, "stem")
    for name in ("a", "b"):
        y = convolution(x, f"{name}1")
        y = convolution(y, f"{name}2")
        x = layers.Add(name=f"{name}_add")([x, y])
    return x


def branches(images: Any) -> Any:
    x = convolution(images, "stem")
    y = layers.Concatenate(name="a_join")([convolution(x, "a1"), convolution(x, "a2", 1)])
    return layers.Concatenate(name="b_join")([layers.MaxPooling2D(1)(y), convolution(y, "b1")])


def pointwise_end(images: Any) -> Any:
    x = convolution(images, "a")
    x = convolution(x, "b")
    x = convolution(x, "end1", 1)
    return convolution(x, "end2", 1)


def depthwise(images: Any) -> Any:
    x = layers.DepthwiseConv2D(3, padding="same", name="a_depth")(images)
    x = layers.ReLU(name="a_relu")(x)
    x = layers.Conv2D(4, 1, name="a_point")(x)
    x = layers.ZeroPadding2D(1, name="a_pad")(x)
    x = layers.DepthwiseConv2D(3, name="b_depth")(x)
    return layers.Conv2D(4, 1, name="b_point")(x)


def separable(images: Any) -> Any:
    x = layers.SeparableConv2D(4, 3, padding="same", name="a")(images)
    x = layers.BatchNormalization(name="a_norm")(x)
    return layers.SeparableConv2D(4, 3, padding="same", name="b")(x)


def nested(images: Any) -> Any:
    for name in ("one", "two"):
        inner = keras.Input(images.shape[1:])
        images = keras.Model(inner, chain(inner), name=name)(images)
    return images


def no_convolution(images: Any) -> Any:
    return layers.ReLU(name="relu")(images)


def network(body: Callable[[Any], Any], channels: int = 3) -> Any:
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, channels), name="images")
    model = keras.Model(images, body(images))
    for leaf in find_leaves(model):
        if isinstance(leaf, layers.BatchNormalization):  # statistics that are not those of new layers
            leaf.set_weights([weight + 0.1 * (index + 1) for index, weight in enumerate(leaf.get_weights())])
    return model


def names(tensors: Any) -> list[str]:
    return [tensor._keras_history.operation.name for tensor in tensors]


def run(model: Any, images: Any = IMAGES, training: bool = False) -> Any:
    return np.asarray(model(images, training=training))


def compose(parts: Any, images: Any = IMAGES) -> Any:
    for part in parts:
        images = images if part is None else run(part, images)
    return images


@pytest.mark.parametrize(
    ("body", "ends"),
    [
        (chain, ["a_drop", "b_drop", "c_drop"]),
        (residual, ["stem_relu", "a_add", "b_add"]),
        (branches, ["stem_relu", "a_join", "b_join"]),
        (pointwise_end, ["a_relu", "end2_relu"]),
        (depthwise, ["a_pad", "b_point"]),
        (separable, ["a_norm", "b"]),
        (nested, ["one", "two"]),
        (no_convolution, ["relu"]),
    ],
)
def test_blocks_of_a_graph(body: Callable[[Any], Any], ends: list[str]) -> None:
    model = network(body)
    blocks = Backbone(model).blocks
    assert names(blocks) == ends
    assert blocks[-1] is model.output


@pytest.mark.parametrize(("name", "size", "count"), [(SMALL, 32, 14), ("ResNet50", 32, 17), ("VGG16", 32, 13)])
def test_blocks_of_known_networks(name: str, size: int, count: int) -> None:
    """VGG16 has 13 convolutions; ResNet50 a stem and 16 residual blocks; MobileNet a stem and 13 pairs."""
    backbone = Backbone.load(name, size)
    assert backbone.network.input_shape == (None, size, size, 3)
    assert len(backbone.blocks) == count
    assert backbone.blocks[-1].shape == backbone.network.output_shape


@pytest.mark.parametrize(
    ("body", "points"),
    [
        (residual, ["images", "stem_conv", "stem_norm", "stem_relu", "a_add", "b_add"]),
        (branches, ["images", "stem_conv", "stem_norm", "stem_relu", "a_join", "b_join"]),
        (nested, ["images", "one", "two"]),
        (no_convolution, ["images", "relu"]),
    ],
)
def test_narrow_points(body: Callable[[Any], Any], points: list[str]) -> None:
    assert names(find_narrow_points(network(body))) == points


def test_narrow_points_of_several_outputs() -> None:
    """What an output shows beside the rest of the network is not all that comes after it."""
    images = keras.Input((8, 8, 3), name="images")
    a = layers.Conv2D(4, 3, name="a")(images)
    b = layers.Conv2D(4, 3, name="b")(a)
    side = layers.Flatten(name="side")(b)
    c = layers.Conv2D(4, 3, name="c")(b)
    assert names(find_narrow_points(keras.Model(images, [c, side]))) == ["images", "a", "b"]
    assert names(find_narrow_points(keras.Model(images, [c, b]))) == ["images", "a", "b"]
    assert names(find_narrow_points(keras.Model(images, [c, a]))) == ["images", "a"]


def test_narrow_points_of_a_layer_that_is_called_twice() -> None:
    images = keras.Input((8, 8, 3), name="images")
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    a = shared(images)
    b = layers.Conv2D(3, 3, padding="same", name="b")(a)
    model = keras.Model(images, layers.Add(name="add")([shared(a), b]))
    assert names(find_narrow_points(model)) == ["images", "shared", "add"]
    assert [tensor is a for tensor in find_narrow_points(model)] == [False, True, False]


def test_narrow_points_where_the_layers_are_part_of_other_models() -> None:
    images, others = keras.Input((8, 8, 3), name="images"), keras.Input((9, 9, 3), name="others")
    a, b = layers.Conv2D(4, 3, name="a"), layers.Conv2D(4, 3, name="b")
    keras.Model(others, b(a(others)))
    assert names(find_narrow_points(keras.Model(images, b(a(images))))) == ["images", "a", "b"]
    grown = keras.Sequential()
    for layer in (keras.Input((8, 8, 3), name="images"), a, b):
        grown.add(layer)
    assert [tuple(tensor.shape[1:]) for tensor in find_narrow_points(grown)] == [(8, 8, 3), (6, 6, 4), (4, 4, 4)]


@pytest.mark.parametrize("application", ["MobileNet", "ResNet50", "DenseNet121", "EfficientNetB0"])
def test_preprocessing_is_that_of_keras(application: str) -> None:
    """They are the four kinds: to -1..1, BGR without the mean, normalised, and none."""
    make = getattr(keras.applications, application)
    backbone = Backbone(network(chain), _find_preprocessing(make))
    module = getattr(keras.applications, make.__module__.rpartition(".")[2])
    expected = module.preprocess_input(255.0 * IMAGES)
    np.testing.assert_allclose(backbone.preprocess(IMAGES), expected, rtol=1e-5, atol=1e-4)
    pixels = keras.Input((8, 8, 3))
    assert run(keras.Model(pixels, backbone.preprocess(pixels)), IMAGES) == pytest.approx(expected, rel=1e-5, abs=1e-4)


def test_every_application_is_understood() -> None:
    """Colours of the same brightness stay apart, and black and white too."""
    makes = {make.__module__: make for key, make in vars(keras.applications).items() if key[0].isupper()}
    assert len(makes) > 10
    for module, make in makes.items():
        backbone = Backbone(network(no_convolution), _find_preprocessing(make))
        keras_own = getattr(keras.applications, module.rpartition(".")[2]).preprocess_input
        np.testing.assert_allclose(backbone.preprocess(IMAGES), keras_own(255.0 * IMAGES), rtol=1e-5, atol=1e-4)


def test_preprocessing_of_grayscale_and_of_other_sizes() -> None:
    backbone = Backbone(network(chain), Preprocessing((2.0,), (-1.0,)))
    gray = IMAGES[..., :1]
    np.testing.assert_allclose(backbone.preprocess(gray), np.repeat(2 * gray - 1, 3, axis=-1), rtol=1e-6)
    small = backbone.preprocess(np.ones((2, 5, 3, 1), "float32"))
    assert small.shape == (2, 8, 8, 3)
    np.testing.assert_allclose(small, 1.0)
    assert replace(backbone, network=network(chain, 1)).preprocess(gray).shape == (3, 8, 8, 1)


def test_preprocessing_does_nothing_that_need_not_be() -> None:
    images = keras.Input((8, 8, 3))
    assert Backbone(network(chain)).preprocess(images) is images


def test_a_network_for_images_of_any_size_gets_them_as_they_are() -> None:
    images = keras.Input((None, None, 3))
    backbone = Backbone(keras.Model(images, convolution(images, "a")))
    assert backbone.preprocess(IMAGES) is IMAGES


@pytest.mark.parametrize(
    ("cut", "unfrozen", "frozen_blocks", "unfrozen_blocks"),
    [(0, 0, 3, 0), (0, 1, 2, 1), (1, 1, 1, 1), (1, 0, 2, 0), (0, 3, 0, 3), (0, 99, 0, 3), (2, 99, 0, 1), (3, 1, 0, 0)],
)
@pytest.mark.parametrize("body", [chain, residual])
def test_the_parts_together_are_the_network(
    body: Callable[[Any], Any], cut: int, unfrozen: int, frozen_blocks: int, unfrozen_blocks: int
) -> None:
    model = network(body)
    backbone = Backbone(model)
    whole = run(keras.Model(model.input, backbone.blocks[2 - cut] if cut < 3 else model.input))
    first, second = backbone.divide(cut, unfrozen)
    assert (first is None, second is None) == (frozen_blocks == 0, unfrozen_blocks == 0)
    np.testing.assert_allclose(compose((first, second)), whole, rtol=1e-5, atol=1e-6)
    for part, name, blocks in ((first, FROZEN, frozen_blocks), (second, UNFROZEN, unfrozen_blocks)):
        if part is not None:
            assert part.name == name
            assert len(Backbone(part).blocks) == blocks
    assert not first or first.trainable_weights == []
    assert not second or second.trainable_weights


def divide(backbone: Backbone, cut: int, unfrozen: int) -> tuple[Any, Any]:
    """Divides a backbone into two parts of which there is at least a block each."""
    first, second = backbone.divide(cut, unfrozen)
    assert first is not None
    assert second is not None
    return first, second


def test_what_is_frozen_computes_the_same_in_training() -> None:
    first, second = divide(Backbone(network(chain)), 0, 1)
    before = first.get_weights()
    np.testing.assert_array_equal(run(first, training=True), run(first))
    for weight, old in zip(first.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
    features = run(first)
    assert np.abs(run(second, features, training=True) - run(second, features)).max() > 0.1


def test_all_kinds_of_dropout_are_off_where_it_is_frozen() -> None:
    def noisy(images: Any) -> Any:
        inner = keras.Input(images.shape[1:])
        kinds = [layers.Dropout(0.5), layers.SpatialDropout2D(0.5), layers.AlphaDropout(0.5)]
        noise = keras.Sequential([inner, *kinds, layers.GaussianDropout(0.5)])
        return noise(layers.Conv2D(3, 3, padding="same")(images))

    model = network(noisy)
    assert np.abs(run(model, training=True) - run(model)).max() > 0.01
    first, _ = Backbone(model).divide(0, 0)
    np.testing.assert_array_equal(run(first, training=True), run(first))


def test_dividing_again_forgets_what_was_frozen() -> None:
    backbone = Backbone(network(residual))
    backbone.divide(0, 0)
    first, second = backbone.divide(0, 3)
    assert first is None
    assert second is not None
    assert len(second.trainable_weights) == 5 * 3


def test_a_cut_removes_layers() -> None:
    model = network(residual)
    weights = len(model.weights)
    first, second = divide(Backbone(model), 1, 1)
    assert len(first.weights) + len(second.weights) == weights - 2 * 5
    assert not [layer.name for layer in (*first.layers, *second.layers) if layer.name.startswith("b")]


def test_the_parts_in_a_network_that_plain_keras_saves_and_loads(tmp_path: Path) -> None:
    backbone = Backbone(network(chain), Preprocessing((255.0,) * 3, (-1.0, -2.0, -3.0), is_flipped=True))
    first, second = divide(backbone, 0, 1)
    images = keras.Input((6, 7, 1))
    model = keras.Model(images, second(first(backbone.preprocess(images), training=False)))
    model.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    images = IMAGES[:, :6, :7, :1]
    np.testing.assert_allclose(run(loaded, images), run(model, images), rtol=1e-5, atol=1e-5)
    assert len(loaded.trainable_weights) == len(second.trainable_weights)
    assert [leaf.rate for leaf in find_leaves(loaded) if isinstance(leaf, layers.Dropout)] == [0.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("name", "weights", "error"),
    [
        ("ResNet5", "none", "backbone 'ResNet5': keras.applications has no 'ResNet5'; did you mean 'ResNet50'?"),
        ("MobilNet(alpha=0.5)", "none", "has no 'MobilNet'; did you mean 'MobileNet'?"),
        ("resnet", "none", "backbone 'resnet': keras.applications has no 'resnet'"),
        ("MobileNet(alpha=__import__('os'))", "none", "expected a name such as ResNet50 or MobileNet(alpha=0.25)"),
        ("__import__('os').system('true')", "none", "expected a name such as ResNet50"),
        ("MobileNet(0.25)", "none", "expected a name such as ResNet50 or MobileNet(alpha=0.25)"),
        ("MobileNet(alpha=0.25", "none", "expected a name such as ResNet50 or MobileNet(alpha=0.25)"),
        ("", "none", "expected a name such as ResNet50 or MobileNet(alpha=0.25)"),
        ("ResNet50\0", "none", "expected a name such as ResNet50 or MobileNet(alpha=0.25)"),
        ("MobileNet(alfa=0.25)", "none", "'alfa' is not an argument that can be set; it has alpha, depth_multiplier,"),
        ("MobileNet(include_top=True)", "none", "'include_top' is not an argument that can be set"),
        ("MobileNet(**{'alpha': 1})", "none", "'None' is not an argument that can be set"),
        ("ResNet50(alpha=1)", "none", "'alpha' is not an argument that can be set; it has none"),
        ("MobileNet(alpha=None)", "none", "backbone 'MobileNet(alpha=None)': TypeError: "),
        (
            SMALL,
            "nowhere.weights.h5",
            "weights 'nowhere.weights.h5': no such file; expected a weights file, ",
        ),
        (SMALL, "Imagenet", "weights 'Imagenet': no such file; expected a weights file, 'imagenet' or 'none'"),
        ("nowhere.keras", "none", "backbone nowhere.keras: no such file; expected a network that"),
    ],
)
def test_what_cannot_be_loaded(name: str, weights: str, error: str) -> None:
    with pytest.raises(PluginError) as raised:
        Backbone.load(name, 32, weights)
    assert error in str(raised.value)
    assert "\n" not in str(raised.value)


def test_too_small_an_image_is_the_point_s_fault() -> None:
    """A ValueError of Keras makes a point infeasible, and other sizes may do."""
    with pytest.raises(ValueError, match="32x32"):
        Backbone.load(SMALL, 16)


@pytest.mark.parametrize("content", [b"no weights at all", None])
def test_weights_that_do_not_fit(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.weights.h5"
    if content is None:
        network(chain).save_weights(path)
    else:
        path.write_bytes(content)
    with pytest.raises(PluginError) as raised:
        Backbone.load(SMALL, 32, str(path))
    message = str(raised.value)
    assert message.startswith(f"backbone '{SMALL}': cannot load the weights '{path}': ")
    assert message.endswith("; give the path of a weights file made for this network without its top, or 'none'")
    assert "\n" not in message


def test_what_only_scales_channels_ends_no_block() -> None:
    """Squeeze and excitation has convolutions, but the block goes on to its projection."""

    def gated(images: Any) -> Any:
        x = images
        for name in ("a", "b"):
            x = layers.DepthwiseConv2D(3, padding="same", name=f"{name}_depth")(x)
            gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
            gate = layers.Conv2D(x.shape[-1], 1, activation="sigmoid")(layers.Conv2D(2, 1)(gate))
            x = layers.Multiply(name=f"{name}_scale")([x, gate])
            x = layers.Conv2D(4, 1, name=f"{name}_project")(x)
        return x

    assert names(Backbone(network(gated)).blocks) == ["a_project", "b_project"]


def test_a_download_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a network, or here with a proxy that nobody answers: one line, at once."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.setattr("urllib.request._opener", None)  # one that was made before has other proxies
    with pytest.raises(PluginError) as raised:
        Backbone.load("MobileNet(alpha=0.75)", 33, "imagenet")
    assert str(raised.value).startswith("backbone 'MobileNet(alpha=0.75)': mobilenet_7_5_224_tf_no_top.h5 is not in ")
    assert "\n" not in str(raised.value)


def test_weights_of_a_file(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    network = keras.applications.MobileNet(alpha=0.25, include_top=False, weights=None, input_shape=(64, 64, 3))
    network.save_weights(tmp_path / "net.weights.h5")
    backbone = Backbone.load(SMALL, 32, str(tmp_path / "net.weights.h5"))
    for mine, its in zip(backbone.network.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


def classifier(body: Callable[[Any], Any], sequential: bool = False) -> Any:
    model = network(body)
    head = [layers.GlobalAveragePooling2D(), layers.Dense(5, activation="softmax")]
    if sequential:
        return keras.Sequential([*model.layers, *head])
    x = model.output
    for layer in head:
        x = layer(x)
    return keras.Model(model.input, x)


@pytest.mark.parametrize("sequential", [False, True])
def test_a_saved_model_as_a_backbone(tmp_path: Path, sequential: bool) -> None:
    model = classifier(chain, sequential)
    save_model(tmp_path / "best.keras", finish(model, (8, 8, 3)), {})
    backbone = Backbone.load(str(tmp_path / "best.keras"), 99)
    assert len(backbone.blocks) == 3
    assert backbone.preprocess(IMAGES) is IMAGES
    maps = keras.Model(model.inputs[0], model.layers[-3].output)
    np.testing.assert_allclose(run(backbone.network), run(maps), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["none", "standardize", "zca"])
def test_a_saved_model_normalises_as_a_backbone_too(tmp_path: Path, kind: Any) -> None:
    pixels = (IMAGES * 255).astype(np.uint8)
    normalization = Normalization.of(kind, pixels)
    model = classifier(chain)
    save_model(tmp_path / "best.keras", finish(model, (8, 8, 3), normalization), {})
    backbone = Backbone.load(str(tmp_path / "best.keras"), 99)
    assert len(backbone.blocks) == 3
    images = keras.Input((8, 8, 3))
    network = keras.Model(images, backbone.network(backbone.preprocess(images)))
    maps = keras.Model(model.inputs[0], model.layers[-3].output)
    expected = run(maps, normalization.normalize(pixels))
    np.testing.assert_allclose(run(network, pixels / np.float32(255)), expected, rtol=1e-4, atol=1e-4)


def test_a_saved_transfer_network_as_a_backbone(tmp_path: Path) -> None:
    inner = Backbone(network(chain), Preprocessing((2.0,), (-1.0,)))
    first, second = divide(inner, 0, 1)
    images = keras.Input((6, 6, 1))
    maps = convolution(second(first(inner.preprocess(images), training=False)), "head")
    x = layers.Dense(5, activation="softmax")(layers.GlobalMaxPooling2D()(maps))
    save_model(tmp_path / "best.keras", finish(keras.Model(images, x), (6, 6, 1)), {})

    backbone = Backbone.load(str(tmp_path / "best.keras"), 99)
    assert [tensor.shape[1:] for tensor in backbone.blocks] == [(8, 8, 4)] * 3
    gray = IMAGES[..., :1]
    assert backbone.preprocess(gray).shape == (3, 6, 6, 1)
    expected = run(keras.Model(images, maps), gray[:, :6, :6])
    for cut, unfrozen in ((0, 0), (0, 1), (0, 2), (0, 9)):
        parts = backbone.divide(cut, unfrozen)
        np.testing.assert_allclose(compose(parts, gray[:, :6, :6]), expected, rtol=1e-5, atol=1e-5)
    _, everything = backbone.divide(0, 9)
    assert everything is not None
    assert len(everything.trainable_weights) == 4 * 3  # also what was frozen when it was saved


def test_a_saved_model_without_maps_is_no_backbone(tmp_path: Path) -> None:
    dense = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(3)])
    save_model(tmp_path / "net.keras", finish(dense, (8, 8, 3)), {})
    with pytest.raises(PluginError, match=r"^backbone .*net.keras: it computes no feature maps; expected a network "):
        Backbone.load(str(tmp_path / "net.keras"), 32)


def test_a_saved_model_of_other_channels(tmp_path: Path) -> None:
    """Search spaces of others may take them."""
    images = keras.Input((8, 8, 4))
    outputs = layers.Dense(5, activation="softmax")(layers.GlobalAveragePooling2D()(chain(images)))
    save_model(tmp_path / "best.keras", finish(keras.Model(images, outputs), (8, 8, 4)), {})
    assert len(Backbone.load(str(tmp_path / "best.keras"), 32).blocks) == 3


def test_a_saved_model_has_its_own_preprocessing(tmp_path: Path) -> None:
    save_model(tmp_path / "best.keras", finish(classifier(chain), (8, 8, 3)), {})
    with pytest.raises(PluginError, match=r"^backbone .*best.keras: searchcnn has saved it; leave preprocessing out"):
        Backbone.load(str(tmp_path / "best.keras"), 32, preprocessing="tf")
