"""What a network costs: weights and multiply-accumulates."""

import math
from typing import Any

import keras

from searchcnn.graph import calls, leaves
from searchcnn.search import Cost


def cost(network: Any) -> Cost:
    """Counts the weights of a built Keras model, or of a layer of one, and the multiply-accumulates of one image.

    A convolution or dense layer uses each kernel weight once at every position of its output (a transposed convolution:
    of its input), each time that it is called; normalisation, pooling and activations are not counted, as is usual.
    """
    return Cost(params=network.count_params(), macs=_macs(network))


def _macs(network: Any) -> int:
    """Counts the calls that a model is made of: its layers may be part of other models, for images of other sizes."""
    if not isinstance(network, keras.Model):
        return sum(_macs_of(leaf, leaf.input, leaf.output) for leaf in leaves(network))
    return sum(_macs_of_call(call) for call in calls(network))


def _macs_of_call(call: Any) -> int:
    if next(leaves(call.operation), None) is not call.operation:
        return _macs(call.operation)
    return _macs_of(call.operation, *call.input_tensors[:1], *call.output_tensors[:1]) if call.input_tensors else 0


def _macs_of(layer: Any, given: Any, output: Any) -> int:
    kernels = [weight for weight in getattr(layer, "weights", ()) if "kernel" in weight.name]
    if not kernels:
        return 0
    shape = (given if "Transpose" in type(layer).__name__ else output).shape
    positions: int = math.prod(size for size in shape[1:-1] if size)
    weights: int = sum(math.prod(weight.shape) for weight in kernels)
    return weights * positions
