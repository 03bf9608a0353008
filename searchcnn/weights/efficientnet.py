"""EfficientNet-Lite0, whose weights are installed with searchcnn."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from keras import Input, Model, initializers, layers

from searchcnn.weights import embedded
from searchcnn.weights.pth import Array

EPSILON: Final = 1e-3
"""Of batch normalisation, as in TensorFlow's implementation, where the weights were trained."""
STEM: Final = 32
"""Channels of the first convolution."""
HEAD: Final = 1280
"""Channels of the last convolution."""
CLASSES: Final = 1000
"""ImageNet's."""
MEAN: Final = 127.0
"""What is taken off pixels 0..255, as in the reference."""
STD: Final = 128.0
"""What pixels are then divided by."""


class Stage(NamedTuple):
    """Blocks that follow each other and return maps of one size.

    Attributes:
        repeats: How many.
        kernel: Side of the kernel.
        stride: Of the first one; the others have 1.
        expansion: How many times more channels than it is given a block has inside.
        channels: How many a block returns.
    """

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES: Final = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""Those of EfficientNet-B0: table 1 of Tan and Le 2019, https://arxiv.org/abs/1905.11946."""


def EfficientNetLite0(  # noqa: N802  # it is called as those of keras.applications are
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    include_top: bool = True,
    weights: str | None = "imagenet",
) -> Model:
    """Makes EfficientNet-B0 without squeeze and excitation and with ReLU6.

    Reference: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.

    Args:
        input_shape: Height, width and channels of images; height and width may be None, for any. Their pixels are what
            `preprocess_input` returns.
        include_top: Whether the network ends with the probabilities of ImageNet's classes, shape (batch, 1000), and not
            with feature maps, shape (batch, height / 32, width / 32, 1280).
        weights: "imagenet" for those that are installed with searchcnn, the path of a weights file, or None for random
            ones.

    Raises:
        PluginError: If the weights that are installed with searchcnn are missing or damaged.
    """
    images = Input(input_shape, name="image")
    x = _activate(_convolve(images, "stem", STEM, 3, 2), "stem")
    for name, stage, stride in _list_blocks():
        x = _add_block(x, name, stage, stride)
    x = _activate(_convolve(x, "head", HEAD), "head")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="top_pool")(x)
        x = layers.Dense(CLASSES, activation="softmax", name="top")(x)
    model = Model(images, x, name="efficientnet_lite0")
    if weights == "imagenet":
        model.set_weights(list(convert_weights(embedded.read(), include_top)))
    elif weights is not None:
        model.load_weights(weights)
    return model


def preprocess_input(images: Any) -> Any:
    """Returns what the network takes for pixels 0..255, both of shape (batch, height, width, channels)."""
    return (images - MEAN) / STD


def convert_weights(state: Mapping[str, Array], include_top: bool) -> Iterator[Array]:
    """Yields the weights of the Keras network, whose layers have the same order.

    Args:
        state: From `searchcnn.weights.embedded.read`.
        include_top: Whether the network has a classifier.
    """
    for name, array in state.items():
        if name.endswith("num_batches_tracked") or (name.startswith("_fc") and not include_top):
            continue
        if array.ndim == 4:
            array = np.transpose(array, (2, 3, 0, 1) if "depthwise" in name else (2, 3, 1, 0))
        yield array.T if array.ndim == 2 else array


def _list_blocks() -> Iterator[tuple[str, Stage, int]]:
    """Yields the name, the stage and the stride of each block."""
    for number, stage in enumerate(STAGES, 1):
        for repeat in range(stage.repeats):
            yield f"block_{number}{'abcd'[repeat]}", stage, 1 if repeat else stage.stride


def _add_block(x: Any, name: str, stage: Stage, stride: int) -> Any:
    """Widens, mixes neighbouring pixels, and narrows again: MBConv."""
    shortcut, channels = x, x.shape[-1]
    if stage.expansion > 1:
        x = _activate(_convolve(x, f"{name}_expand", channels * stage.expansion), f"{name}_expand")
    x = layers.DepthwiseConv2D(
        stage.kernel,
        stride,
        "same",
        use_bias=False,
        depthwise_initializer=_make_initializer(),
        name=f"{name}_depthwise_conv",
    )(x)
    x = _activate(_normalize(x, f"{name}_depthwise"), f"{name}_depthwise")
    x = _convolve(x, f"{name}_project", stage.channels)
    return layers.Add(name=f"{name}_add")([x, shortcut]) if shortcut.shape == x.shape and stride == 1 else x


def _convolve(x: Any, name: str, channels: int, kernel: int = 1, stride: int = 1) -> Any:
    convolution = layers.Conv2D(
        channels, kernel, stride, "same", use_bias=False, kernel_initializer=_make_initializer(), name=f"{name}_conv"
    )
    return _normalize(convolution(x), name)


def _normalize(x: Any, name: str) -> Any:
    return layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)


def _activate(x: Any, name: str) -> Any:
    return layers.ReLU(6.0, name=f"{name}_relu")(x)


def _make_initializer() -> Any:
    """Returns the initializer of EfficientNet's convolutions."""
    return initializers.VarianceScaling(2.0, "fan_out")
