"""Last layers of networks that give something else than class probabilities, as Keras users write them."""

from typing import Any

import keras
from keras import layers

from searchcnn.errors import PluginError, get_message
from searchcnn.graph import find_output_layer, is_stock, name_outputs
from searchcnn.keras_private import find_operation


def is_compiled(model: keras.Model) -> bool:
    """Whether the builder compiled the model itself."""
    return bool(getattr(model, "compiled", False))


def complete_outputs(model: Any, num_classes: int) -> Any:
    """Returns a network whose outputs are class probabilities, where it ends as such networks often do.

    - ``Dense(num_classes)`` without an activation gets a softmax, where the engine compiles the network: its losses
      take probabilities.
    - ``Dense(1, "sigmoid")``, the probability of the second of two classes, becomes the probabilities of both. A
      network that was compiled is compiled again in the same way: its loss takes one-hot labels then, which gives the
      same number. ``Dense(1)`` without an activation gets the sigmoid, where the engine compiles the network.

    Args:
        model: What a builder returned, of stock layers.
        num_classes: Number of classes.

    Raises:
        PluginError: If a network cannot be compiled again.
    """
    outputs = list(name_outputs(model).values())
    last = find_output_layer(model) if len(outputs) == 1 else None
    is_binary = num_classes == 2 and len(outputs) == 1 and tuple(outputs[0].shape) == (None, 1)
    if not is_compiled(model):
        for layer in [last] if last else map(find_operation, outputs):
            _activate(layer, "sigmoid" if is_binary else "softmax")
    is_sigmoid = getattr(last, "activation", None) is keras.activations.sigmoid
    return _pair(model) if is_binary and is_sigmoid else model


def _activate(layer: Any, activation: str) -> None:
    """Gives a layer an activation, if it is `Dense` without one."""
    if isinstance(layer, layers.Dense) and layer.activation is keras.activations.linear:
        layer.activation = keras.activations.get(activation)


def _pair(model: Any) -> keras.Model:
    """Returns a network that gives the probabilities of both classes, not only that of the second."""
    output = model.outputs[0]
    both = layers.Concatenate(name="probabilities")([layers.Rescaling(-1.0, offset=1.0)(output), output])
    paired = keras.Model(model.inputs[0], both, name=model.name)
    if is_compiled(model):
        _compile_as(paired, model)
    return paired


def _compile_as(paired: keras.Model, model: Any) -> None:
    """Compiles a network as another one is compiled."""
    remedy = "end the network with Dense(2, activation='softmax')"
    if is_stock(model.loss) and hasattr(model.loss, "get_config") and model.loss.get_config().get("from_logits"):
        raise PluginError(
            "build(hp) compiles a network that ends with Dense(1, activation='sigmoid') with a loss that has "
            f"from_logits=True, which is for Dense(1) without an activation; leave from_logits out, or {remedy}"
        )
    try:
        paired.compile_from_config(model.get_compile_config())
    except Exception as error:  # whatever Keras says of a loss or metric that is not its own
        raise PluginError(
            "build(hp) compiles a network that ends with Dense(1, activation='sigmoid') with a loss or metric that "
            f"cannot be taken over ({get_message(error)}); {remedy}"
        ) from error
