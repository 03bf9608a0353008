"""Reads the graph of a network: what is called on what; and takes parts out of it."""

import inspect
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from searchcnn.keras_private import find_operation, is_functional, read_nodes

SPATIAL: Final = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
"""Layers that mix neighbouring pixels, if their kernel is larger than one."""
MIXING: Final = (layers.Conv2D, layers.SeparableConv2D, layers.Dense)
"""Layers that mix channels."""
GLOBAL: Final = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)
"""Layers that take feature maps together."""


def as_array(tensor: Any) -> npt.NDArray[np.float32]:
    """Returns a tensor of any type as float32: NumPy does not know bfloat16."""
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")), np.float32)


def make_functional(model: Any) -> Any:
    """Returns a sequential model as a functional one, and others as they are."""
    return keras.Model(model.inputs[0], model.outputs[0]) if isinstance(model, keras.Sequential) else model


def list_calls(model: Any) -> list[Any]:
    """Returns the calls that a functional or sequential model is made of, in the order in which they are computed.

    An operation has one for each time that it was called in this model, whatever other models it is part of. Each has
    an ``operation``, ``input_tensors`` and ``output_tensors``.
    """
    by_depth = read_nodes(make_functional(model))
    return [call for depth in sorted(by_depth, reverse=True) for call in by_depth[depth]]


def find_narrow_points(model: Any) -> Iterator[Any]:
    """Yields the symbolic tensors of a model that are all that later operations see of the earlier ones.

    Args:
        model: A functional or sequential Keras model.
    """
    waiting = Counter(id(tensor) for tensor in [*list_inputs(model), *model.outputs])
    live: set[int] = set()
    for call in list_calls(model):
        waiting.subtract(id(tensor) for tensor in call.input_tensors)
        outputs = {id(tensor) for tensor in call.output_tensors}
        live = {tensor for tensor in live if waiting[tensor]} | outputs
        if live == outputs and len(outputs) == 1:
            yield call.output_tensors[0]


def find_summaries(model: Any) -> set[int]:
    """Returns the ids of the symbolic tensors that come from global pooling alone, as in squeeze and excitation.

    Args:
        model: A functional or sequential Keras model.
    """
    pooled: set[int] = set()
    for call in list_calls(model):
        sources = {id(tensor) for tensor in call.input_tensors}
        if isinstance(call.operation, GLOBAL) or (sources and sources <= pooled):
            pooled |= {id(tensor) for tensor in call.output_tensors}
    return pooled


def find_leaves(operation: Any) -> Iterator[Any]:
    """Yields a layer, or the layers of a model, those of models in it included."""
    inner = getattr(operation, "layers", None)
    if inner is None:
        yield operation
    for part in inner or ():
        yield from find_leaves(part)


def list_inputs(model: Any) -> list[Any]:
    """Returns the tensors that the calls of a model take, each once for each use."""
    return [tensor for call in list_calls(model) for tensor in call.input_tensors]


def is_stock(layer: Any) -> bool:
    """Whether plain Keras can load a layer, in safe mode."""
    return type(layer).__module__.partition(".")[0] == "keras" and not isinstance(layer, layers.Lambda)


def is_softmax(layer: Any) -> bool:
    """Whether a layer is ``Dense(classes, activation="softmax")``."""
    return isinstance(layer, layers.Dense) and layer.activation is keras.activations.softmax


def find_output_layer(model: Any) -> Any:
    """Returns the layer that gives a model's output, inside of models that it is made of."""
    layer = find_operation(model.outputs[0])
    return find_output_layer(layer) if is_functional(layer) else layer


def expose_features(model: Any) -> Any:
    """Returns a classifier with a second output: what its last layer is given.

    Args:
        model: A functional or sequential Keras model.

    Returns:
        A network of the same layers and weights; the model itself if its last layer is not `is_softmax`.
    """
    return _add_output(model) if is_softmax(find_output_layer(model)) else model


def _add_output(model: Any) -> Any:
    model = make_functional(model)
    (output,) = model.outputs
    (call,) = (call for call in list_calls(model) if any(tensor is output for tensor in call.output_tensors))
    (features,) = call.input_tensors
    is_model = is_functional(call.operation)
    return keras.Model(model.inputs, _add_output(call.operation)(features) if is_model else [output, features])


def name_outputs(model: Any) -> dict[str, Any]:
    """Returns the outputs of a model by name, in the order in which its author gave them."""
    if isinstance(model, keras.Sequential):  # has no names, and no `output` before it was called
        return {model.layers[-1].name: model.outputs[0]}
    if has_output_mapping(model):
        return dict(model.output)
    return dict(zip(model.output_names, model.outputs, strict=True))


def has_output_mapping(model: Any) -> bool:
    """Whether the outputs of a model are a mapping, so that its labels are one too."""
    return not isinstance(model, keras.Sequential) and isinstance(model.output, dict)


def is_augmented(model: Any) -> bool:
    """Whether a network has layers that change images at random."""
    return any(_is_random_by_default(leaf) for leaf in find_leaves(model))


def remove_augmentation(model: Any) -> Any:
    """Returns a network without its random image layers: Keras runs them in training mode unless told not to.

    Args:
        model: A functional or sequential Keras model.

    Returns:
        A network of the same layers and weights; the model itself if it has no such layer. A layer that does something
        where nothing is trained, too, stays and is told so.
    """
    if not is_augmented(model):
        return model
    return keras.models.clone_model(make_functional(model), clone_function=_strip_model, call_function=_call_or_skip)


def _strip_model(operation: Any) -> Any:
    return remove_augmentation(operation) if isinstance(operation, keras.Model) else operation


def _call_or_skip(operation: Any, *arguments: Any, **options: Any) -> Any:
    if all(isinstance(leaf, layers.InputLayer) for leaf in find_leaves(operation)):
        return arguments[0]  # nothing is left of a model
    if not any(_is_random_by_default(leaf) for leaf in find_leaves(operation)):
        return operation(*arguments, **options)
    if _is_idle(operation, arguments[0]):
        return arguments[0]
    return operation(*arguments, **{**options, "training": False})


def _is_random_by_default(layer: Any) -> bool:
    """Whether a layer behaves as in training where nobody says what is done with it."""
    training = inspect.signature(layer.call).parameters.get("training") if hasattr(layer, "call") else None
    return training is not None and training.default is True


def _is_idle(layer: Any, tensor: Any) -> bool:
    """Whether a layer does nothing to images where nothing is trained, given what it is called with."""
    images = np.random.default_rng(0).random([1, *(size or 8 for size in tensor.shape[1:])], np.float32)
    result = as_array(layer(images, training=False))
    return bool(result.shape == images.shape and np.allclose(result, images, atol=1e-3))
