"""Building blocks that search spaces share, made of stock Keras layers.

Those on feature maps, shape (batch, height, width, channels), work on maps of any size.
"""

from collections.abc import Sequence
from typing import Any

from keras import layers

__all__ = ["activate", "convolve", "dense", "drop", "pool"]

MOMENTUM = 0.9
"""Of batch normalisation's moving averages: Keras's 0.99 lags behind in the first epochs, and those decide a trial."""


def convolve(
    x: Any,
    filters: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: str = "same",
    batch_norm: str = "none",
    activation: str = "relu",
    **options: Any,
) -> Any:
    """Applies a convolution, batch normalisation and an activation.

    Kernels start with He's initialisation (He et al. 2015, https://arxiv.org/abs/1502.01852) unless told otherwise.
    Batch normalisation is that of Ioffe and Szegedy 2015 (https://arxiv.org/abs/1502.03167).

    Args:
        x: Feature maps.
        filters: Number of output channels.
        kernel: Side of the square kernels in pixels.
        stride: Step of the kernel in pixels.
        padding: "same", or "valid", which becomes "same" where the kernel is larger than the map.
        batch_norm: Place of batch normalisation relative to the activation: "none", "before" or "after".
        activation: Name of the activation; "linear" for none.
        options: More arguments of ``keras.layers.Conv2D``.

    Returns:
        Feature maps, shape (batch, new height, new width, filters).
    """
    fitting = padding if min(x.shape[1:3]) >= kernel else "same"
    x = layers.Conv2D(filters, kernel, stride, fitting, **{"kernel_initializer": "he_normal", **options})(x)
    return activate(x, batch_norm, activation)


def activate(x: Any, batch_norm: str, activation: str) -> Any:
    """Applies batch normalisation and an activation, in the order that `convolve` explains.

    Returns:
        A tensor of the same shape.
    """
    if batch_norm == "before":
        x = layers.BatchNormalization(momentum=MOMENTUM)(x)
    if activation != "linear":
        x = layers.Activation(activation)(x)
    if batch_norm == "after":
        x = layers.BatchNormalization(momentum=MOMENTUM)(x)
    return x


def pool(x: Any, kind: str) -> Any:
    """Halves both axes with "max" or "average" pooling, except for an axis of one pixel; otherwise leaves them.

    Args:
        x: Feature maps.
        kind: "max" or "average"; all else does nothing.

    Returns:
        Feature maps, shape (batch, height / 2 or 1, width / 2 or 1, channels).
    """
    window = tuple(min(2, side) for side in x.shape[1:3])
    if window == (1, 1) or kind not in ("max", "average"):
        return x
    return layers.MaxPooling2D(window)(x) if kind == "max" else layers.AveragePooling2D(window)(x)


def dense(x: Any, units: Sequence[int], activation: str, dropout: float) -> Any:
    """Applies dense layers, and dropout after each; without any layer, dropout alone.

    Args:
        x: Features, shape (batch, features).
        units: Width of each layer.
        activation: Name of the activation.
        dropout: Part of the values set to zero.

    Returns:
        Features, shape (batch, last units).
    """
    if not units:
        return drop(x, dropout)
    for width in units:
        x = layers.Dense(width, activation=activation, kernel_initializer="he_normal")(x)
        x = drop(x, dropout)
    return x


def drop(x: Any, rate: float) -> Any:
    """Applies dropout (Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html), or nothing at rate 0.

    Args:
        x: Any tensor.
        rate: Part of the values set to zero.

    Returns:
        A tensor of the same shape.
    """
    return layers.Dropout(rate)(x) if rate else x
