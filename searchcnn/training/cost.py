"""What a network costs: weights and multiply-accumulates."""

import math
from typing import Any

import keras

from searchcnn.graph import find_leaves, list_calls
from searchcnn.search import Cost


def measure_cost(network: keras.Layer) -> Cost:
    """Counts the weights of a built Keras model, or of a layer of one, and the multiply-accumulates of one image.

    A convolution or dense layer uses each kernel weight once at every position of its output (a transposed convolution:
    of its input), each time that it is called; normalisation, pooling and activations are not counted, as is usual.
    """
    return Cost(params=network.count_params(), macs=_count_macs(network))


def _count_macs(network: keras.Layer) -> int:
    """Counts in a model's calls: its layers may be part of other models, too, for images of other sizes."""
    if not isinstance(network, keras.Model):
        weighty = [leaf for leaf in find_leaves(network) if _count_weights(leaf)]
        return sum(_count_weights(leaf) * _count_positions(leaf, leaf.input, leaf.output) for leaf in weighty)
    return sum(_count_macs_of_call(call) for call in list_calls(network))


def _count_macs_of_call(call: Any) -> int:
    layer = call.operation
    if next(find_leaves(layer), None) is not layer:
        return _count_macs(layer)
    weights = _count_weights(layer)
    return weights * _count_positions(layer, call.input_tensors[0], call.output_tensors[0]) if weights else 0


def _count_weights(layer: keras.Layer) -> int:
    kernels = [weight for weight in getattr(layer, "weights", ()) if "kernel" in weight.name]
    count: int = sum(math.prod(weight.shape) for weight in kernels)
    return count


def _count_positions(layer: keras.Layer, source: Any, output: Any) -> int:
    shape = (source if "Transpose" in type(layer).__name__ else output).shape
    count: int = math.prod(size for size in shape[1:-1] if size)
    return count
