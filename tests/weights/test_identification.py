"""Files of weights, and the networks that they belong to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from searchcnn.backend import start_keras
from searchcnn.errors import PluginError
from searchcnn.weights import identification, identify_network
from searchcnn.weights.identification import _compare_names, _list_names

start_keras()

import keras  # noqa: E402

SHARED = Path(__file__).parents[3] / "shared" / "weights" / "mobilenet_2_5_224_imagenet_no_top.weights.h5"
LIKE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_"
"""What the names of Keras' files for MobileNetV2 begin with."""


def network(name: str = "MobileNetV2", **arguments: Any) -> Any:
    return getattr(keras.applications, name)(**{"include_top": False, "weights": None, **arguments})


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns the names that are tried."""
    names: list[str] = []
    original = identification._compute_shapes

    def shapes_of(name: str) -> Any:
        names.append(name)
        return original(name)

    monkeypatch.setattr(identification, "_compute_shapes", shapes_of)
    return names


@pytest.mark.skipif(not SHARED.is_file(), reason=f"needs {SHARED}")
def test_keras_own_weights(tried: list[str]) -> None:
    assert identify_network(SHARED) == "MobileNet(alpha=0.25)"
    assert tried == ["MobileNet(alpha=0.25)"]


@pytest.mark.parametrize("end", [".weights.h5", ".h5"])
def test_the_forms_of_keras(tmp_path: Path, tried: list[str], end: str) -> None:
    """Keras 3's, and Keras 2's with a classifier's training in it."""
    net = network(alpha=0.35, input_shape=(32, 32, 3))
    path = tmp_path / f"mobilenet-v2-0.35{end}"
    if end == ".h5":
        net.compile("adam", "mse")
        net.optimizer.build(net.trainable_variables)
        net.save(path)
    else:
        net.save_weights(path)
    assert identify_network(str(path)) == "MobileNetV2(alpha=0.35)"
    assert tried == ["MobileNetV2(alpha=0.35)"]


def test_the_shapes_decide_and_not_the_name(tmp_path: Path) -> None:
    network("MobileNetV3Small", input_shape=(32, 32, 3)).save_weights(tmp_path / "MobileNetV3Large.weights.h5")
    assert identify_network(tmp_path / "MobileNetV3Large.weights.h5") == "MobileNetV3Small"


def test_the_network_that_comes_with_searchcnn(tmp_path: Path) -> None:
    from searchcnn.weights.efficientnet import EfficientNetLite0

    EfficientNetLite0(include_top=False, weights=None).save_weights(tmp_path / "efficientnet-lite0.weights.h5")
    assert identify_network(tmp_path / "efficientnet-lite0.weights.h5") == "EfficientNetLite0"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("mobilenet_1_0_224_tf_no_top.h5", "MobileNet"),
        ("mobilenet_7_5_160_tf_no_top.h5", "MobileNet(alpha=0.75)"),
        (f"{LIKE}1.0_224_no_top.h5", "MobileNetV2"),
        (f"{LIKE}0.35_96_no_top.h5", "MobileNetV2(alpha=0.35)"),
        ("weights_mobilenet_v3_small_minimalistic_224_1.0_float_no_top_v2.h5", "MobileNetV3Small(minimalistic=True)"),
        ("weights_mobilenet_v3_large_224_0.75_float_no_top_v2.h5", "MobileNetV3Large(alpha=0.75)"),
        ("resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5", "ResNet50V2"),
        ("resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5", "ResNet50"),
        ("efficientnetv2-b0_notop.h5", "EfficientNetV2B0"),
        ("efficientnetb0_notop.h5", "EfficientNetB0"),
        ("convnext_tiny_notop.h5", "ConvNeXtTiny"),
        ("nasnet_mobile_no_top.h5", "NASNetMobile"),
        ("inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5", "InceptionV3"),
        ("densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5", "DenseNet121"),
        ("efficientnet_lite0_imagenet.weights.h5", "EfficientNetLite0"),
    ],
)
def test_what_is_tried_first(file: str, name: str) -> None:
    assert max(_list_names(), key=lambda one: _compare_names(one, file)) == name


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves one network: all of them take half a minute."""

    def names() -> Iterator[str]:
        yield "MobileNet(alpha=0.25)"

    monkeypatch.setattr(identification, "_list_names", names)


@pytest.mark.parametrize(
    ("include_top", "message"),
    [
        (
            True,
            "they fit no network of keras.applications; they seem to hold a classifier; expected what network.save",
        ),
        (
            False,
            "they fit no network of keras.applications; expected what network.save_weights('net.weights.h5') makes",
        ),
    ],
)
def test_weights_that_fit_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, include_top: bool, message: str
) -> None:
    small(monkeypatch)
    alpha = 0.25 if include_top else 0.5
    net = network("MobileNet", alpha=alpha, include_top=include_top, input_shape=(32, 32, 3))
    net.save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(PluginError) as raised:
        identify_network(tmp_path / "net.weights.h5")
    assert str(raised.value).startswith(f"weights {tmp_path / 'net.weights.h5'}: {message}")


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file; expected"), (b"text", "damaged, or not an HDF5 file; expected")]
)
def test_files_that_are_no_weights(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "net.weights.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PluginError, match=rf"^weights .*net.weights.h5: {message} what network.save_weights"):
        identify_network(path)


@pytest.mark.slow
def test_no_two_networks_have_the_same_shapes() -> None:
    names = list(_list_names())
    assert len({frozenset(identification._compute_shapes(name).items()) for name in names}) == len(names)
