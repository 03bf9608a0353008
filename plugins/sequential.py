"""VGG-like chains of convolution blocks with a flatten or global-average head."""

from dataclasses import dataclass
from typing import Any

from keras import Input, Model, layers

from searchcnn import SearchSpace

MOMENTUM = 0.9
"""Of batch normalisation's moving averages: Keras's 0.99 lags behind in the first epochs, and those decide a trial."""


@dataclass(frozen=True)
class Convolution:
    """What all convolutions of a network share.

    Attributes:
        kernel: Side of the square kernels in pixels.
        batch_norm: Place of batch normalisation relative to the activation: "none", "before" or "after".
        activation: Name of the activation.
    """

    kernel: int
    batch_norm: str
    activation: str

    def __call__(self, x: Any, filters: int, padding: str, stride: int = 1) -> Any:
        """Applies one convolution; "valid" becomes "same" where the kernel is larger than the map.

        Args:
            x: Feature maps, shape (batch, height, width, channels).
            filters: Number of output channels.
            padding: "same" or "valid".
            stride: Step of the kernel in pixels.

        Returns:
            Feature maps, shape (batch, new height, new width, filters).
        """
        fitting = padding if min(x.shape[1:3]) >= self.kernel else "same"
        x = layers.Conv2D(filters, self.kernel, stride, fitting, kernel_initializer="he_normal")(x)
        if self.batch_norm == "before":
            x = layers.BatchNormalization(momentum=MOMENTUM)(x)
        x = layers.Activation(self.activation)(x)
        if self.batch_norm == "after":
            x = layers.BatchNormalization(momentum=MOMENTUM)(x)
        return x


class Sequential(SearchSpace):
    """Blocks of convolutions, each followed by pooling and dropout; then dense layers; then softmax.

    Filters double from block to block by default (32, 64, 128, 256), each searched from half to double that, up to 256.
    Every point is a valid network for images of any size: a map smaller than the kernel is padded, and an axis of one
    pixel is not pooled any further.

    Kernels before an activation of the ReLU family start with He's initialisation (He et al. 2015,
    https://arxiv.org/abs/1502.01852); batch normalisation is that of Ioffe and Szegedy 2015
    (https://arxiv.org/abs/1502.03167), dropout that of Srivastava et al. 2014
    (https://jmlr.org/papers/v15/srivastava14a.html).
    """

    reference = "Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556"

    def build(self, hp: Any) -> Model:
        """Builds the network; see the class."""
        activation = hp.Choice("activation", ["relu", "elu", "gelu", "silu"])
        images = Input(self.input_shape)
        x = features(hp, images, activation)
        x = head(hp, x, activation)
        return Model(images, layers.Dense(self.num_classes, activation="softmax", dtype="float32")(x))

    def baselines(self) -> dict[str, dict[str, Any]]:
        """Returns the networks of well-known tutorials, which a search has to beat."""
        plain = {"batch_norm": "none", "padding": "valid", "dropout": 0.0, "head_dropout": 0.0}
        two = {"blocks": 2, "filters_1": 32, "filters_2": 64}
        deeper = {**two, "convs": 2, "padding": "same_valid", "dropout": 0.25, **dense(512), "head_dropout": 0.5}
        return {
            "mnist_convnet": {**plain, **two, "blocks": 3, "filters_3": 64, "final_pool": False, **dense(64)},
            "fashion_convnet": {**plain, **two, "kernel": 5},
            "cifar10_convnet": {**plain, **two, **dense(128)},
            "cifar100_dropout": {**deeper, "batch_norm": "none"},
            "cifar100_bn": {**deeper, "batch_norm": "before"},
        }


def dense(units: int) -> dict[str, int]:
    """Returns the values of one hidden dense layer."""
    return {"dense_layers": 1, "dense_1": units}


def features(hp: Any, x: Any, activation: str) -> Any:
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
    convolution = Convolution(
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
            x = convolution(x, filters, padding.removesuffix("_valid"))
        x = convolution(x, filters, padding.removeprefix("same_"), stride=2 if halved == "stride" else 1)
        x = drop(pool(x, halved), dropout)
    return x


def head(hp: Any, x: Any, activation: str) -> Any:
    """Turns feature maps into the features of the softmax layer.

    Args:
        hp: The hyperparameters.
        x: Feature maps, shape (batch, height, width, channels).
        activation: Name of the activation.

    Returns:
        Features, shape (batch, units).
    """
    flat = hp.Choice("head", ["flatten", "global_average"]) == "flatten"
    hidden = hp.Int("dense_layers", 0, 2)
    dropout = hp.Float("head_dropout", 0.0, 0.5, step=0.125, default=0.25)
    x = layers.Flatten()(x) if flat else layers.GlobalAveragePooling2D()(x)
    for layer in range(1, hidden + 1):
        units = hp.Int(f"dense_{layer}", 32, 512, step=2, sampling="log", default=128)
        x = layers.Dense(units, activation=activation, kernel_initializer="he_normal")(x)
        x = drop(x, dropout)
    return x if hidden else drop(x, dropout)


def pool(x: Any, kind: str) -> Any:
    """Halves both axes with "max" or "average" pooling, except for an axis of one pixel; otherwise leaves them.

    Args:
        x: Feature maps, shape (batch, height, width, channels).
        kind: "max" or "average"; all else does nothing.

    Returns:
        Feature maps, shape (batch, height / 2 or 1, width / 2 or 1, channels).
    """
    window = tuple(min(2, side) for side in x.shape[1:3])
    if window == (1, 1) or kind not in ("max", "average"):
        return x
    return layers.MaxPooling2D(window)(x) if kind == "max" else layers.AveragePooling2D(window)(x)


def drop(x: Any, rate: float) -> Any:
    """Applies dropout, or nothing at a rate of 0.

    Args:
        x: Any tensor.
        rate: Part of the values set to zero.

    Returns:
        A tensor of the same shape.
    """
    return layers.Dropout(rate)(x) if rate else x
