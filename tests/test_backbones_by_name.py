"""Networks of ``keras.applications`` as backbones: their blocks, what pixels reach them, and parts of them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.backbones import Backbone
from searchcnn.backend import start_keras
from searchcnn.graph import SPATIAL, find_leaves, is_stock, list_calls

start_keras()

import keras  # noqa: E402

SIZE = 64
GRAY = np.random.default_rng(0).random((2, 20, 24, 1), "float32")
TF = ([-1.0] * 3, [1.0] * 3)
TORCH = ([-2.118, -2.036, -1.804], [2.249, 2.429, 2.640])
"""Black and white, less ImageNet's mean and by its standard deviation."""
CAFFE = ([-103.939, -116.779, -123.68], [151.061, 138.221, 131.32])
"""Black and white, blue first, less ImageNet's mean."""
slow = pytest.mark.slow

PLAIN = """
import sys, keras, numpy as np
model = keras.models.load_model("net.keras")
np.save("again.npy", model.predict(np.load("images.npy"), verbose=0))
assert not [name for name in sys.modules if name.partition(".")[0] == "searchcnn"]
"""


@pytest.mark.parametrize(
    ("name", "count", "ends", "pixels"),
    [
        pytest.param("MobileNetV2", 18, ["Conv1_relu", "block_15_add", "out_relu"], TF, marks=slow),
        pytest.param("MobileNetV3Small", 12, ["expanded_conv_project_bn", "expanded_conv_9_add"], TF, marks=slow),
        pytest.param("ResNet50", 17, ["pool1_pool", "conv2_block1_out", "conv5_block3_out"], CAFFE, marks=slow),
        pytest.param("EfficientNetV2B0", 22, ["stem_activation", "block6a_project_bn"], TORCH, marks=slow),
        pytest.param("ConvNeXtTiny", 22, ["convnext_tiny_stem", "layer_normalization"], TORCH, marks=slow),
    ],
)
def test_blocks_pixels_and_parts(
    tmp_path: Path, name: str, count: int, ends: list[str], pixels: tuple[list[float], list[float]]
) -> None:
    """One test, as making a network takes longer than looking at it."""
    keras.utils.clear_session()  # names of layers have numbers, which go on from those of earlier tests
    backbone = Backbone.load(name, SIZE)
    blocks = backbone.blocks
    found = [block._keras_history.operation.name for block in blocks]
    assert len(blocks) == count
    assert [end for end in found if end in ends] == ends
    assert all(map(is_stock, find_leaves(backbone.network)))
    for brightness, expected in enumerate(pixels):
        np.testing.assert_allclose(first_pixels(backbone, brightness), expected, atol=2e-3)
    check_parts(backbone, tmp_path)


def first_pixels(backbone: Backbone, brightness: int) -> Any:
    """Returns what reaches the first convolution of a uniform grayscale image: channels of a pixel in the middle."""
    network = backbone.network
    first = next(
        call for call in list_calls(network) if any(isinstance(leaf, SPATIAL) for leaf in find_leaves(call.operation))
    )
    seen = keras.Model(network.input, first.input_tensors[0])
    images = np.full((1, 10, 10, 1), brightness, "float32")
    return np.asarray(seen(backbone.preprocess(images)))[0, SIZE // 2, SIZE // 2]


def check_parts(backbone: Backbone, folder: Path) -> None:
    """Cuts the network, and loads what is left where only Keras is."""
    cut = keras.Model(backbone.network.input, backbone.blocks[-3])
    frozen, unfrozen = backbone.divide(2, 3)
    assert frozen is not None
    assert unfrozen is not None
    assert (frozen.trainable_weights, len(Backbone(unfrozen).blocks)) == ([], 3)
    images = keras.Input(GRAY.shape[1:])
    model = keras.Model(images, unfrozen(frozen(backbone.preprocess(images), training=False)))
    expected = np.asarray(cut(np.asarray(backbone.preprocess(GRAY)), training=False))
    model.save(folder / "net.keras")
    np.save(folder / "images.npy", GRAY)
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PLAIN], check=True, cwd=folder, capture_output=True, timeout=120
    )
    np.testing.assert_allclose(np.load(folder / "again.npy"), expected, rtol=1e-3, atol=1e-4)
