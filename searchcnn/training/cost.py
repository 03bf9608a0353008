"""What a network costs: weights and multiply-accumulates."""

import math
from typing import Any

from searchcnn.graph import leaves
from searchcnn.search import Cost


def cost(model: Any) -> Cost:
    """Counts a built Keras model's weights and the multiply-accumulates of one image.

    A convolution or dense layer uses each kernel weight once at every position of its output (a transposed convolution:
    of its input); normalisation, pooling and activations are not counted, as is usual.
    """
    return Cost(params=model.count_params(), macs=sum(_macs(layer) for layer in leaves(model)))


def _macs(layer: Any) -> int:
    kernel_weights: int = sum(math.prod(weight.shape) for weight in layer.weights if "kernel" in weight.name)
    if not kernel_weights:
        return 0
    shape = layer.input.shape if "Transpose" in type(layer).__name__ else layer.output.shape
    positions: int = math.prod(size for size in shape[1:-1] if size)
    return kernel_weights * positions
