"""VGG-like chains of convolution blocks with a flatten or global-average head."""

from functools import partial
from typing import Any

from keras import Input, Model, layers

from searchcnn import SearchSpace
from searchcnn.blocks import convolve, dense, drop, pool

KNOWN: dict[str, dict[str, Any]] = {
    "sequential_115k": {"pooling": "average", "head_dropout": 0.0},
    "sequential_105k": {"pooling": "average", "filters_1": 16},
    "sequential_260k": {
        "activation": "elu",
        "padding": "same_valid",
        "kernel": 5,
        "batch_norm": "after",
        "final_pool": False,
        "dropout": 0.0,
        "head_dropout": 0.375,
    },
    "sequential_215k": {"convs": 2, "padding": "valid", "dropout": 0.0, "filters_2": 32},
    "sequential_770k": {"blocks": 4, "filters_3": 256},
    "strided_115k": {"pooling": "stride"},
    "sequential_100k": {"activation": "elu", "padding": "same_valid", "head_dropout": 0.5},
    "strided_80k": {"blocks": 2, "pooling": "stride", "filters_1": 64},
}
"""Points that did best on several data sets, the best first; `python -m benchmarks.known_points` has chosen them."""


class Sequential(SearchSpace):
    """Blocks of convolutions, each followed by pooling and dropout; then dense layers; then softmax.

    Filters double from block to block by default (32, 64, 128, 256), each searched from half to double that, up to 256.
    Every point is a valid network for images of any size: a map smaller than the kernel is padded, and an axis of one
    pixel is not pooled any further.

    Reference: Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556.
    """

    reference = "Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556"

    def build(self, hp: Any) -> Model:
        """Builds the network; see the class."""
        activation = hp.Choice("activation", ["relu", "elu", "gelu", "silu"])
        images = Input(self.input_shape)
        x = apply_blocks(hp, images, activation)
        x = apply_head(hp, x, activation)
        return Model(images, layers.Dense(self.num_classes, activation="softmax", dtype="float32")(x))

    def baselines(self) -> dict[str, dict[str, Any]]:
        """Returns points that do well on many images, and networks of tutorials, which a search should beat."""
        plain = {"batch_norm": "none", "padding": "valid", "dropout": 0.0, "head_dropout": 0.0}
        two = {"blocks": 2, "filters_1": 32, "filters_2": 64}
        deeper = {
            **two,
            "convs": 2,
            "padding": "same_valid",
            "dropout": 0.25,
            **make_hidden_layer(512),
            "head_dropout": 0.5,
        }
        return {
            **KNOWN,
            "mnist_convnet": {
                **plain,
                **two,
                "blocks": 3,
                "filters_3": 64,
                "final_pool": False,
                **make_hidden_layer(64),
            },
            "fashion_convnet": {**plain, **two, "kernel": 5},
            "cifar10_convnet": {**plain, **two, **make_hidden_layer(128)},
            "cifar100_dropout": {**deeper, "batch_norm": "none"},
            "cifar100_bn": {**deeper, "batch_norm": "before"},
        }


def make_hidden_layer(units: int) -> dict[str, int]:
    """Returns the hyperparameters of a single hidden dense layer."""
    return {"dense_layers": 1, "dense_1": units}


def apply_blocks(hp: Any, x: Any, activation: str) -> Any:
    """Applies the blocks.

    Args:
        hp: The hyperparameters.
        x: Images, shape (batch, height, width, channels).
        activation: Name of the activation.

    Returns:
        Feature maps, shape (batch, new height, new width, filters of the last block).
    """
    blocks = hp.Int("blocks", 2, 4, default=3)
    convs = hp.Int("convs", 1, 3)
    padding = hp.Choice("padding", ["same", "valid", "same_valid"])
    convolution = partial(
        convolve,
        kernel=hp.Choice("kernel", [3, 5]),
        batch_norm=hp.Choice("batch_norm", ["none", "before", "after"], default="before"),
        activation=activation,
    )
    pooling = hp.Choice("pooling", ["max", "average", "stride"])
    final_pool = hp.Boolean("final_pool", default=True)
    dropout = hp.Float("dropout", 0.0, 0.5, step=0.125, default=0.125)
    for block in range(1, blocks + 1):
        filters = hp.Int(
            f"filters_{block}", 8 * 2**block, min(32 * 2**block, 256), step=2, sampling="log", default=16 * 2**block
        )
        halved = pooling if block < blocks or final_pool else "none"
        for _ in range(convs - 1):
            x = convolution(x, filters, padding=padding.removesuffix("_valid"))
        x = convolution(x, filters, padding=padding.removeprefix("same_"), stride=2 if halved == "stride" else 1)
        x = drop(pool(x, halved), dropout)
    return x


def apply_head(hp: Any, x: Any, activation: str) -> Any:
    """Turns feature maps into the features of the softmax layer.

    Args:
        hp: The hyperparameters.
        x: Feature maps, shape (batch, height, width, channels).
        activation: Name of the activation.

    Returns:
        Features, shape (batch, units).
    """
    flat = hp.Choice("head", ["flatten", "global_average"]) == "flatten"
    count = hp.Int("dense_layers", 0, 2)
    dropout = hp.Float("head_dropout", 0.0, 0.5, step=0.125, default=0.25)
    x = layers.Flatten()(x) if flat else layers.GlobalAveragePooling2D()(x)
    units = [hp.Int(f"dense_{layer}", 32, 512, step=2, sampling="log", default=128) for layer in range(1, count + 1)]
    return dense(x, units, activation, dropout)
