"""Networks of others as backbones: what pixels they want, their features, and what of them cannot be one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backbones import Backbone, Preprocessing, is_file, is_for_any_size
from searchcnn.backend import start_keras
from searchcnn.errors import PluginError
from searchcnn.graph import list_calls

start_keras()

import keras  # noqa: E402

layers = keras.layers
LITE = "SEARCHCNN_EFFICIENTNET_LITE0"
"""Variable that names a file of EfficientNet-Lite0 without its top, as trained on ImageNet."""
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype("float32")
Save = Callable[..., str]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def save(model: Any) -> str:
        model.save(tmp_path / "net.keras")
        return str(tmp_path / "net.keras")

    return save


def maps(x: Any) -> Any:
    for filters in (4, 6):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2)(x)
    return x


def classify(x: Any) -> Any:
    return layers.Dense(5, activation="softmax")(layers.GlobalAveragePooling2D()(x))


def top(x: Any) -> Any:
    return classify(maps(x))


def model(front: Any, body: Any = top, shape: Any = (16, 16, 3), **options: Any) -> Any:
    keras.utils.set_random_seed(0)
    images = keras.Input(shape, **options)
    return keras.Model(images, body(front(images)))


def as_it_is(x: Any) -> Any:
    return x


def divide(by: float, less: float = 0.0) -> Any:
    return layers.Rescaling(1 / by, -less / by)


def adapted(scale: float) -> Any:
    layer = layers.Normalization()
    layer.adapt(scale * np.random.default_rng(0).random((8, 16, 16, 3)))
    return layer


def run(network: Any, images: Any, training: bool = False) -> Any:
    return np.asarray(network(images, training=training))


def whole(backbone: Backbone, shape: Any = (16, 16, 3)) -> Any:
    """Returns the network as search spaces use it, from images in 0..1."""
    images = keras.Input(shape)
    return keras.Model(images, backbone.network(backbone.preprocess(images)))


def refuse(path: str, **options: Any) -> str:
    with pytest.raises(PluginError) as raised:
        Backbone.load(path, 16, **options)
    message = str(raised.value)
    assert message.startswith(f"backbone {path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("front", "scale"),
    [
        (divide(255), 255),
        (divide(127.5, 127.5), 255),
        (layers.Normalization(mean=[123.7, 116.3, 103.5], variance=[58.4**2, 57.1**2, 57.4**2]), 255),
        (lambda x: keras.applications.resnet50.preprocess_input(x), 255),
        (lambda x: layers.ZeroPadding2D(9)(layers.Resizing(12, 12)((x[..., ::-1] - 127.0) / 128.0)), 255),
        (layers.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.05, 0.05, 0.05]), 1),
        (layers.Rescaling(2.0, -1.0), 1),
        (lambda x: keras.applications.resnet50.preprocess_input(x * 255.0), 1),
    ],
)
def test_a_network_that_scales_pixels_gets_those_that_it_is_made_for(save: Save, front: Any, scale: float) -> None:
    net = model(front)
    backbone = Backbone.load(save(net), 99)
    assert backbone.preprocessing == Preprocessing((scale,))
    features = keras.Model(net.input, net.layers[-3].output)
    np.testing.assert_allclose(
        run(whole(backbone), PIXELS / 255), run(features, PIXELS / 255 * scale), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("scale", [1, 255])
def test_statistics_that_were_adapted_say_what_pixels_they_are_of(save: Save, scale: int) -> None:
    path = save(model(adapted(scale)))
    assert Backbone.load(path, 16).preprocessing.scale == (scale,)
    with keras.StatelessScope(initialize_variables=False):  # as where only shapes are asked for
        assert Backbone.load(path, 16).preprocessing.scale == (scale,)


@pytest.mark.parametrize(
    "front",
    [as_it_is, layers.Rescaling(1.0), layers.BatchNormalization(), layers.ZeroPadding2D(9), lambda x: (x + 1) / 2],
)
def test_where_the_network_does_not_say_it_the_author_must(save: Save, front: Any) -> None:
    path = save(model(front))
    assert "nothing in it says what pixels it was trained on; set the option preprocessing to 'raw'" in refuse(path)
    assert Backbone.load(path, 16, preprocessing="tf").preprocessing.scale == (2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    ("preprocessing", "expected"),
    [
        ("raw", lambda x: x),
        ("scale", lambda x: x / 255),
        ("tf", lambda x: x / 127.5 - 1),
        ("torch", lambda x: (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]),
        ("caffe", lambda x: x[..., ::-1] - [103.939, 116.779, 123.68]),
        ({"mean": 127, "std": 128}, lambda x: (x - 127) / 128),
        ({"scale": 0.5, "offset": [1, 2, 3]}, lambda x: x / 2 + [1, 2, 3]),
        ({"mean": [1, 2, 3], "order": "bgr"}, lambda x: x[..., ::-1] - [1, 2, 3]),
    ],
)
def test_preprocessing_as_given(save: Save, preprocessing: Any, expected: Any) -> None:
    backbone = Backbone.load(save(model(as_it_is)), 16, preprocessing=preprocessing)
    result = np.asarray(backbone.preprocess(PIXELS / np.float32(255)))
    np.testing.assert_allclose(result, expected(PIXELS), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("preprocessing", "message"),
    [
        ("TF", "'TF' is unknown; expected 'raw' (0..255), 'scale' (0..1)"),
        ("scaled", "did you mean 'scale'?"),
        ({}, "{} is unknown; expected {mean = 127, std = 128}"),
        ({"order": "bgr"}, "is unknown; expected {mean"),
        ({"mean": 1, "scale": 2}, "is unknown; expected {mean"),
        ({"mean": 1, "order": "grb"}, "is unknown; expected {mean"),
        ({"std": 0}, "scale and std must not be 0"),
        ({"std": True}, "std must be a number, or three for the channels, not True"),
        ({"mean": [1, 2]}, "mean must be a number, or three for the channels, not [1, 2]"),
        ({"mean": "127"}, "mean must be a number, or three for the channels, not '127'"),
        ({"mean": float("nan")}, "mean must be finite, not nan"),
    ],
)
def test_preprocessing_that_is_none(preprocessing: Any, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        Preprocessing.read(preprocessing)
    assert message in str(raised.value)


def test_pixels_are_not_preprocessed_twice(save: Save) -> None:
    path = save(model(divide(255)))
    assert "preprocessing = 'tf' would be done twice: its own first layers scale pixels of 0..255" in refuse(
        path, preprocessing="tf"
    )
    assert Backbone.load(path, 16, preprocessing="scale").preprocessing.scale == (1.0,)  # the author has the last word
    assert Backbone.load(path, 16, preprocessing={"scale": 2}).preprocessing.scale == (510.0,)


def test_grey_networks(save: Save) -> None:
    path = save(model(as_it_is, shape=(16, 16, 1)))
    backbone = Backbone.load(path, 16, preprocessing="tf")
    colours = backbone.preprocess(PIXELS / np.float32(255))
    assert colours.shape == (2, 16, 16, 1)
    grey = PIXELS @ np.array([[0.2989], [0.587], [0.114]], "float32")
    np.testing.assert_allclose(colours, grey / 127.5 - 1, atol=1e-3)
    assert "values for 3 channels, but the network takes 1" in refuse(path, preprocessing="caffe")
    net = whole(backbone)
    path = save(net)
    np.testing.assert_allclose(run(keras.models.load_model(path), PIXELS), run(net, PIXELS), rtol=1e-5)


@pytest.mark.parametrize(("shape", "fixed"), [((None, None, 3), (24, 24)), ((None, 16, 3), (24, 16))])
def test_any_size_becomes_that_of_the_images(save: Save, shape: Any, fixed: Any) -> None:
    path = save(model(divide(255), shape=shape))
    assert is_for_any_size(path)
    backbone = Backbone.load(path, 24)
    assert backbone.network.input_shape == (None, *fixed, 3)
    assert backbone.blocks[-1].shape == (None, fixed[0] // 4, fixed[1] // 4, 6)


def test_who_is_asked_for_a_size(save: Save) -> None:
    plain = [divide(255), layers.Conv2D(3, 3), layers.GlobalMaxPooling2D(), layers.Dense(2)]
    sequential = keras.Sequential(plain)
    sequential.build((None, None, None, 3))
    assert is_for_any_size(save(sequential))
    inner = model(divide(255), shape=(None, None, 3))
    assert is_for_any_size(save(keras.Sequential([inner, layers.Dense(2)])))
    assert not is_for_any_size(save(model(divide(255))))
    assert not is_for_any_size("nowhere.keras")
    assert is_for_any_size("ResNet50")


def test_what_is_a_file() -> None:
    files = ["net.keras", "NET.KERAS", "net.h5", "folder/net", "net.tflite", "net.weights.h5"]
    assert [name for name in [*files, "ResNet50", "MobileNet(alpha=0.25)"] if is_file(name)] == files


def test_random_changes_of_images_are_left_out(save: Save) -> None:
    flips = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.2)])
    noisy = layers.Pipeline([layers.RandomErasing(), layers.RandomZoom(0.2), divide(255)])
    net = model(lambda x: layers.GaussianNoise(0.5)(noisy(flips(layers.RandomContrast(0.2)(x)))))
    backbone = Backbone.load(save(net), 16)
    assert backbone.preprocessing.scale == (255.0,)
    features = run(backbone.network, PIXELS)
    np.testing.assert_array_equal(run(backbone.network, PIXELS, training=True), features)
    plain = keras.Model(net.input, net.layers[-3].output)
    np.testing.assert_allclose(features, run(plain, PIXELS), rtol=1e-4, atol=1e-5)


def branch(x: Any) -> Any:
    gate = layers.Conv2D(6, 1, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return layers.Multiply()([x, gate])


@pytest.mark.parametrize(
    "end",
    [
        as_it_is,
        layers.GlobalMaxPooling2D(),
        lambda x: keras.ops.mean(x, axis=(1, 2)),
        lambda x: layers.Dense(5)(layers.Flatten()(x)),
        lambda x: layers.Dense(5)(layers.Flatten()(layers.AveragePooling2D(4)(x))),
        lambda x: layers.Flatten()(layers.Conv2D(5, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x))),
        lambda x: layers.Conv2D(5, 1)(layers.Reshape((1, 1, 6))(layers.GlobalAveragePooling2D()(x))),
        lambda x: layers.Softmax()(layers.GlobalAveragePooling2D()(layers.Conv2D(5, 1)(x))),
        lambda x: layers.Activation("sigmoid")(layers.GlobalAveragePooling2D()(layers.Conv2D(5, 1)(x))),
        lambda x: layers.Softmax()(layers.Flatten()(layers.Conv2D(5, 4)(x))),
        lambda x: layers.Conv2D(5, 1, activation="softmax")(x),
    ],
)
def test_features_end_before_the_classifier(save: Save, end: Any) -> None:
    backbone = Backbone.load(save(model(divide(255), lambda x: end(maps(x)))), 16)
    assert backbone.network.output.shape == (None, 4, 4, 6)
    assert len(backbone.blocks) == 2


def test_gates_and_small_maps_are_no_end(save: Save) -> None:
    backbone = Backbone.load(save(model(divide(255), lambda x: classify(branch(maps(x))))), 16)
    assert type(backbone.network.layers[-1]) is layers.Multiply
    for end in (classify, lambda x: layers.Conv2D(5, 1)(layers.GlobalMaxPooling2D(keepdims=True)(x))):
        small = model(divide(255), lambda x: end(layers.Conv2D(7, 3, padding="same")(maps(x))), (4, 4, 3))  # noqa: B023
        assert Backbone.load(save(small), 16).network.output.shape == (None, 1, 1, 7)


def test_models_in_a_model_are_taken_apart(save: Save) -> None:
    inner = [model(as_it_is, lambda x: layers.Conv2D(3, 3, padding="same", name="same")(x)) for _ in range(2)]
    deep = keras.Sequential([keras.Input((16, 16, 3)), keras.Sequential([inner[0], layers.ReLU()]), inner[1]])
    net = model(divide(255), lambda x: classify(layers.Conv2D(4, 3, name="same")(deep(x))))
    backbone = Backbone.load(save(net), 16)
    assert len(backbone.blocks) == 3
    features = keras.Model(net.input, net.layers[-3].output)
    np.testing.assert_allclose(run(backbone.network, PIXELS), run(features, PIXELS), rtol=1e-4, atol=1e-5)
    frozen, unfrozen = backbone.divide(0, 1)
    assert frozen is not None
    assert unfrozen is not None
    assert (len(frozen.weights), len(unfrozen.trainable_weights)) == (4, 2)


def test_other_forms_of_a_network(save: Save) -> None:
    compiled = model(divide(255))
    compiled.compile("adam", "sparse_categorical_crossentropy")
    compiled.fit(PIXELS, np.zeros(2), verbose=0)
    frozen = model(divide(255))
    frozen.trainable = False
    images = keras.Input((16, 16, 3), name="image")
    named = keras.Model({"image": images}, {"class": top(divide(255)(images))})
    plain = keras.Sequential([divide(255), layers.Conv2D(4, 3), layers.MaxPooling2D(), layers.Conv2D(4, 3)])
    plain(PIXELS)
    for net in (compiled, frozen, named, plain, model(divide(255), dtype="uint8")):
        backbone = Backbone.load(save(net), 16)
        _, everything = backbone.divide(0, 9)
        assert everything is not None
        assert (len(backbone.blocks), backbone.preprocessing.scale, len(everything.trainable_weights)) == (2, (255,), 4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64"])
def test_half_precision_is_trained_in_full(save: Save, policy: str) -> None:
    keras.config.set_dtype_policy(policy)
    try:
        net = model(divide(255))
        path = save(net)
    finally:
        keras.config.set_dtype_policy("float32")
    backbone = Backbone.load(path, 16)
    assert {layer.compute_dtype for layer in backbone.network.layers} == {"float32"}
    assert {weight.dtype for weight in backbone.network.weights} == {"float32"}
    features = keras.Model(net.input, net.layers[-3].output)
    expected = np.asarray(keras.ops.cast(features(PIXELS), "float32"))
    np.testing.assert_allclose(run(backbone.network, PIXELS), expected, atol=0.05)


def decode(x: Any) -> Any:
    for filters in (4, 3):
        x = layers.Conv2D(filters, 3, padding="same")(layers.UpSampling2D()(x))
    return x


def attend(x: Any) -> Any:
    x = layers.Reshape((-1, 4))(layers.Conv2D(4, 4, 4)(x))
    return layers.Dense(5)(layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(2, 2)(x, x)))


def two_inputs() -> Any:
    images = [keras.Input((16, 16, 3)) for _ in range(2)]
    return keras.Model(images, top(layers.Add()(images)))


def two_outputs() -> Any:
    images = keras.Input((16, 16, 3))
    x = maps(images)
    return keras.Model(images, [classify(x), classify(x)])


class Custom(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        return x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (two_inputs, "it has 2 inputs; expected a network from images"),
        (two_outputs, "it has 2 outputs; expected a network from images"),
        (lambda: model(as_it_is, shape=(16, 16, 4)), "it takes (16, 16, 4); expected a network from images"),
        (lambda: model(layers.Reshape((16, 16, 1)), shape=(16, 16)), "it takes (16, 16); expected a network from"),
        (lambda: model(as_it_is, layers.Dense(2), (50,)), "it takes (50,); expected a network from images"),
        (lambda: model(layers.Permute((2, 3, 1)), shape=(3, 16, 16)), "it takes (3, 16, 16); expected"),
        (lambda: model(divide(255), layers.Flatten()), "it computes no feature maps"),
        (lambda: model(adapted(1), lambda x: layers.Dense(2)(layers.Flatten()(x))), "it computes no feature maps"),
        (lambda: model(divide(255), lambda x: decode(maps(x))), "its outputs are images of 16x16 pixels, not features"),
        (lambda: model(divide(255), attend), "its features are not maps but sequences"),
        (lambda: model(Custom()), "it uses 'Custom', which plain Keras cannot load"),
        (lambda: model(layers.Lambda(lambda x: x / 255)), "it uses a Lambda layer, which plain Keras cannot load"),
        (
            lambda: model(layers.Lambda(keras.applications.resnet50.preprocess_input)),
            "it uses 'preprocess_input', which plain Keras cannot load",
        ),
        (lambda: model(layers.SpectralNormalization(layers.Conv2D(3, 3))), "it uses SpectralNormalization"),
    ],
)
def test_networks_that_are_no_backbone(save: Save, make: Any, message: str) -> None:
    assert message in refuse(save(make()))


def test_a_layer_that_only_this_process_knows(save: Save) -> None:
    path = save(model(Custom()))
    with keras.saving.custom_object_scope({"Custom": Custom}):
        assert "it uses 'Custom', which plain Keras cannot load" in refuse(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.keras", "no such file"),
        ("folder.keras", "no such file"),
        ("text.keras", "it is damaged, or another file with that ending"),
        ("cut.keras", "it is damaged, or another file with that ending"),
        ("net.h5", "expected a .keras file"),
        ("net.weights.h5", "a file of weights belongs in `weights`"),
        ("net.tflite", "expected a .keras file"),
        ("folder.keras/net", "expected a .keras file"),
    ],
)
def test_files_that_hold_no_network(save: Save, tmp_path: Path, name: str, message: str) -> None:
    content = Path(save(model(divide(255)))).read_bytes()
    (tmp_path / "folder.keras").mkdir()
    (tmp_path / "text.keras").write_text("a network")
    (tmp_path / "cut.keras").write_bytes(content[:2000])
    assert message in refuse(str(tmp_path / name))


def test_too_small_an_image_is_the_point_s_fault(save: Save) -> None:
    path = save(model(divide(255), shape=(None, None, 3)))
    with pytest.raises(ValueError, match="negative"):
        Backbone.load(path, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"),
    [("EfficientNetB0", 17), ("MobileNetV3Small", 12), ("EfficientNetV2B0", 22), ("ConvNeXtTiny", 22)],
)
@pytest.mark.parametrize("include_top", [True, False])
def test_applications_that_preprocess_by_themselves(save: Save, name: str, count: int, include_top: bool) -> None:
    make = getattr(keras.applications, name)
    backbone = Backbone.load(save(make(weights=None, include_top=include_top, input_shape=(64, 64, 3))), 64)
    assert (backbone.preprocessing.scale, len(backbone.blocks)) == ((255.0,), count)
    assert backbone.network.output.shape[1:3] == (2, 2)


@pytest.mark.slow
def test_a_network_as_tutorials_make_it(save: Save) -> None:
    base = keras.applications.MobileNetV2(alpha=0.35, weights=None, include_top=False, input_shape=(64, 64, 3))
    flips = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.2)])
    images = keras.Input((64, 64, 3))
    x = base(keras.applications.mobilenet_v2.preprocess_input(flips(images)), training=False)
    backbone = Backbone.load(save(keras.Model(images, classify(x))), 99)
    expected = Backbone.load("MobileNetV2(alpha=0.35)", 64)
    assert (len(backbone.blocks), backbone.preprocessing.scale) == (len(expected.blocks), (255.0,))
    assert [len(call.output_tensors) for call in list_calls(backbone.network)] == [1] * len(
        list_calls(backbone.network)
    )


@pytest.mark.slow
@pytest.mark.skipif(LITE not in os.environ, reason=f"needs ImageNet weights: set {LITE} to the file")
def test_efficientnet_lite() -> None:
    path = os.environ[LITE]
    refuse(path)
    backbone = Backbone.load(path, 96, preprocessing={"mean": 127, "std": 128})
    assert is_for_any_size(path)
    assert backbone.network.output.shape == (None, 3, 3, 1280)
    ends = [tensor._keras_history.operation.name.partition("_project")[0] for tensor in backbone.blocks]
    assert ends[:4] == ["stem_relu", "block_1a", "block_2a", "block_2b_add"]
    assert len(ends) == 17
