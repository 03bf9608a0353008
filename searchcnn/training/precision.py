"""Computes the training steps of a network faster on a CPU: with numbers of 16 bits, and with fused normalisation."""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from searchcnn.backend import prefers_bfloat16
from searchcnn.graph import find_leaves
from searchcnn.keras_private import find_operation
from searchcnn.study.values import PrecisionName


@functools.cache
def choose_precision() -> PrecisionName:
    """Returns the precision with which this machine trains networks fastest."""
    return "mixed_bfloat16" if prefers_bfloat16() else "float32"


@contextlib.contextmanager
def train_fast(model: keras.Model, precision: PrecisionName) -> Iterator[list[Any]]:
    """Has a network's training steps computed as fast as its machine can.

    Weights stay float32, and so does what a validation computes: a score is that of the network as it is saved.

    Args:
        model: The network; it is as it was before, but for its weights, when the body has ended.
        precision: What its layers compute with, but for those that return its outputs, and those that have another
            precision already.

    Yields:
        The callbacks that its training needs.
    """
    layers = _list_single(model) if precision != "float32" else []
    with _fuse_normalization(model):
        try:
            yield [_Precision(layers, precision)] if layers else []
        finally:
            _set_policy(layers, "float32")


class _Precision(keras.callbacks.Callback):
    """Sets the precision of layers in training; while a network is validated it is float32.

    Either is compiled once, when it is executed for the first time.
    """

    def __init__(self, layers: list[Any], precision: PrecisionName) -> None:
        super().__init__()
        self._layers = layers
        self._precision = precision

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        _set_policy(self._layers, self._precision)

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        _set_policy(self._layers, "float32")

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        _set_policy(self._layers, self._precision)


def _list_single(model: keras.Model) -> list[Any]:
    """Returns the layers that compute with float32, but for those that return the outputs."""
    last = {id(find_operation(output)) for output in model.outputs}
    return [layer for layer in find_leaves(model) if layer.compute_dtype == "float32" and id(layer) not in last]


def _set_policy(layers: list[Any], name: str) -> None:
    for layer in layers:
        layer.dtype_policy = keras.DTypePolicy(name)


@contextlib.contextmanager
def _fuse_normalization(model: keras.Model) -> Iterator[None]:
    """Has batch normalisation computed by one operation of TensorFlow in training, where Keras takes a dozen."""
    norms = [layer for layer in find_leaves(model) if _is_fusible(layer)]
    for layer in norms:
        layer.call = functools.partial(_normalize, layer, layer.call)
    try:
        yield
    finally:
        for layer in norms:
            del layer.call  # the class has it


def _is_fusible(layer: Any) -> bool:
    return (
        keras.backend.backend() == "tensorflow"
        and type(layer) is keras.layers.BatchNormalization
        and layer.axis in (-1, 3)
        and len(layer.input.shape) == 4
        and layer.center
        and layer.scale
        and not (layer.renorm or layer.synchronized)
    )


def _normalize(layer: Any, call: Any, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
    """Computes what ``call`` computes, the layer's own, to rounding.

    Args:
        layer: The batch normalisation.
        call: What it computes otherwise.
        inputs: Feature maps, shape (batch, height, width, channels).
        training: Whether the batch is normalised by its own statistics, which the moving ones then follow.
        mask: Which of the inputs count.
    """
    if not (training and layer.trainable) or mask is not None:
        return call(inputs, training=training, mask=mask)
    import tensorflow as tf

    outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        inputs, layer.gamma, layer.beta, epsilon=layer.epsilon, is_training=True
    )
    count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), variance.dtype)
    biased = variance * (count - 1) / count  # Keras' moving variance is that of the batch, not an estimate
    for moving, value in ((layer.moving_mean, mean), (layer.moving_variance, biased)):
        moving.assign(moving * layer.momentum + value * (1 - layer.momentum))
    return outputs
