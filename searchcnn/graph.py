"""Reads the graph of a network: what is called on what."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import keras
from keras import layers

SPATIAL: Final = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
"""Layers that mix neighbouring pixels, if their kernel is larger than one."""
MIXING: Final = (layers.Conv2D, layers.SeparableConv2D, layers.Dense)
"""Layers that mix channels."""


def functional(model: Any) -> Any:
    """Returns a sequential model as a functional one, and others as they are."""
    return keras.Model(model.inputs[0], model.outputs[0]) if isinstance(model, keras.Sequential) else model


def calls(model: Any) -> list[Any]:
    """Returns the calls that a functional or sequential model is made of, in the order in which they are computed.

    An operation has one for each time that it was called in this model, whatever other models it is part of. Each has
    an ``operation``, ``input_tensors`` and ``output_tensors``.
    """
    by_depth = functional(model)._nodes_by_depth
    return [call for depth in sorted(by_depth, reverse=True) for call in by_depth[depth]]


def narrow_points(model: Any) -> Iterator[Any]:
    """Yields the symbolic tensors of a model that are all that later operations see of the earlier ones.

    Args:
        model: A functional or sequential Keras model.
    """
    waiting = Counter(id(tensor) for tensor in [*inputs(model), *model.outputs])
    live: set[int] = set()
    for call in calls(model):
        waiting.subtract(id(tensor) for tensor in call.input_tensors)
        outputs = {id(tensor) for tensor in call.output_tensors}
        live = {tensor for tensor in live if waiting[tensor]} | outputs
        if live == outputs and len(outputs) == 1:
            yield call.output_tensors[0]


def leaves(operation: Any) -> Iterator[Any]:
    """Yields a layer, or the layers of a model, those of models in it included."""
    inner = getattr(operation, "layers", None)
    if inner is None:
        yield operation
    for part in inner or ():
        yield from leaves(part)


def inputs(model: Any) -> list[Any]:
    """Returns what the calls of a model are given, a tensor once for each use."""
    return [tensor for call in calls(model) for tensor in call.input_tensors]
