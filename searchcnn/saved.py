"""Networks in ``.keras`` files, whoever has saved them: up to their last feature maps, and what they do to pixels."""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import keras
import numpy as np
from keras import layers

from searchcnn.errors import PluginError, get_first_line
from searchcnn.graph import (
    GLOBAL,
    MIXING,
    SPATIAL,
    find_leaves,
    find_narrow_points,
    is_stock,
    list_calls,
    make_functional,
)
from searchcnn.keras_private import find_operation, flatten_layers, is_functional

DROPOUT: Final = (layers.Dropout, layers.AlphaDropout, layers.GaussianDropout)
"""Layers that are random while their rate is not zero."""
ATTENTION: Final = (layers.MultiHeadAttention, layers.GroupQueryAttention, layers.Attention, layers.AdditiveAttention)
"""Layers that mix what they are given as a sequence."""
ENLARGING: Final = (layers.UpSampling2D, layers.Conv2DTranspose)
"""Layers whose maps are larger than those they are given."""
COMPOUND: Final = (keras.Model, layers.Pipeline)
"""Layers made of layers that are called one by one."""
EXPECTED: Final = "expected a network from images (height, width, 1 or 3 channels) to features or classes"
"""What a file must hold."""


def load(path: Path) -> Any:
    """Loads a model.

    Raises:
        PluginError: If it is not one that plain Keras can load.
    """
    if path.suffix != ".keras":
        raise PluginError(
            f"backbone {path}: expected a .keras file; of a whole model in another format, "
            "keras.models.load_model(FILE).save('net.keras') makes one; a file of weights belongs in `weights`"
        )
    if not path.is_file():
        raise PluginError(f"backbone {path}: no such file; expected a network that model.save('net.keras') has made")
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises almost anything on a file that it does not know
        raise PluginError(f"backbone {path}: {_explain(path, error)}") from error


def takes_any_size(path: Path) -> bool:
    """Whether a file's network takes images of any size; what cannot be read does not."""
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
        first = config["config"]["layers"][0]["config"]
        shape = first.get("batch_shape") or first.get("batch_input_shape") or config["build_config"]["input_shape"]
        return None in shape[1:3]
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile):
        return False  # loading it says what is wrong


def names_only_keras(path: Path) -> bool:
    """Whether all that a file's network is made of is Keras' own: nothing that another process might not know."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    return all(module.split(".")[0] == "keras" for module in _list_modules(config))


def _list_modules(config: Any) -> Iterator[str]:
    """Yields the modules of all objects in a configuration, as Keras writes it."""
    if isinstance(config, dict) and isinstance(config.get("module"), str):
        yield config["module"]
    parts = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    for part in parts:
        yield from _list_modules(part)


def take_apart(path: Path, model: Any) -> tuple[Any, tuple[Any, ...]] | None:
    """Takes a classifier that searchcnn has saved apart.

    Returns:
        Its network up to the last feature maps, and the layers that make of images scaled to 0..1 what it takes; None
        for a model from elsewhere.

    Raises:
        PluginError: If it has no feature maps.
    """
    parts = model.layers if isinstance(model, keras.Model) and model.name == "classifier" else []
    if [part.name for part in parts[:2]] != ["pixels", "scale"] or not isinstance(parts[-1], keras.Model):
        return None
    _pixels, scale, *normalization, network = parts
    if scale.scale == 1:  # the network scales pixels 0..255 itself
        normalization = [layers.Rescaling(255.0)]
    maps = [tensor for tensor in find_narrow_points(network) if len(tensor.shape) == 4]
    body = keras.Model(make_functional(network).input, maps[-1])
    if not body.weights:
        raise PluginError(f"backbone {path}: it computes no feature maps; {EXPECTED}")
    return body, tuple(normalization)


def unfold(path: Path, model: Any, size: tuple[int, int]) -> Any:
    """Returns a network in one piece: models in it are taken apart, and random changes of images are left out.

    Args:
        path: Where it comes from, to name it in an error.
        model: Any model from `load`; its layers are used.
        size: Height and width in pixels where the model takes any.

    Raises:
        PluginError: If it is not one from an image to one output, or not made of stock layers.
    """
    if fault := _find_fault(model):
        raise PluginError(f"backbone {path}: {fault}")
    model = _convert_to_float32(model)
    _name_apart(model, {})
    height, width, channels = model.inputs[0].shape[1:]
    images = keras.Input((height or size[0], width or size[1], channels), dtype="float32", name="images")
    network = keras.Model(model.inputs[0], model.outputs[0])
    while True:
        network = keras.models.clone_model(network, images, lambda layer: layer, call_function=_call_inside)
        if not any(_is_compound(call.operation) or _is_augmentation(call.operation) for call in list_calls(network)):
            return network


def cut_features(path: Path, network: Any) -> Any:
    """Cuts a network off behind its last feature maps, before a classifier.

    Args:
        path: Where it comes from, to name it in an error.
        network: From `unfold`.

    Raises:
        PluginError: If it has none.
    """
    maps = _find_last_maps(network)
    if maps is None:
        raise PluginError(f"backbone {path}: it computes no feature maps; {EXPECTED}")
    before = {id(call.operation) for call in list_calls(keras.Model(network.input, maps))}
    behind = [call.operation for call in list_calls(network) if id(call.operation) not in before]
    ends = [*behind, find_operation(maps)]
    if any(map(_is_score, ends)) and not any(map(_has_weights, behind)):
        maps = _find_maps_before_scores(network, maps)
    body = keras.Model(network.input, maps)
    if fault := _describe_sequences(behind) or _describe_images(body):
        raise PluginError(f"backbone {path}: {fault}")
    return body


def _describe_sequences(behind: list[Any]) -> str:
    """Says that what is behind the maps goes on with them as a sequence; empty if it does not."""
    names = [operation.name for operation in behind if isinstance(operation, ATTENTION)]
    if not names:
        return ""
    return f"its features are not maps but sequences ('{names[0]}' is an attention layer); expected convolutions"


def _describe_images(network: Any) -> str:
    """Says that the last maps are images again; empty if they are not."""
    height, width = network.output.shape[1:3]
    if height < network.input.shape[1] or not any(isinstance(layer, ENLARGING) for layer in network.layers):
        return ""
    return (
        f"its outputs are images of {height}x{width} pixels, not features; save the part that encodes: "
        "keras.Model(net.input, net.get_layer('NAME').output).save('encoder.keras')"
    )


def _find_maps_before_scores(network: Any, maps: Any) -> Any:
    """Returns what the last convolution is given, which is the classifier where its maps are averaged."""
    narrow = {id(tensor) for tensor in find_narrow_points(network)}
    last = [call for call in list_calls(network) if isinstance(call.operation, (*SPATIAL, *MIXING))][-1]
    (tensor, *_) = last.input_tensors
    return tensor if id(tensor) in narrow and _is_mixed(network, tensor) else maps


def _is_score(operation: Any) -> bool:
    """Whether an operation makes probabilities."""
    activation = getattr(operation, "activation", operation)
    return getattr(activation, "__name__", type(activation).__name__.lower()) in ("softmax", "sigmoid")


def _is_mixed(network: Any, tensor: Any) -> bool:
    return any(isinstance(layer, (*SPATIAL, *MIXING)) for layer in keras.Model(network.input, tensor).layers)


def _explain(path: Path, error: Exception) -> str:
    if foreign := re.search(r"Could not locate \w+ '(.+?)'", str(error)):
        return f"it uses '{foreign[1]}', which plain Keras cannot load; expected a network of stock layers only"
    if "`Lambda`" in str(error):
        return "it uses a Lambda layer, which plain Keras cannot load; expected a network of stock layers only"
    if not zipfile.is_zipfile(path):
        return "it is damaged, or another file with that ending; save the network again: model.save('net.keras')"
    return f"Keras {keras.__version__} cannot load it: {get_first_line(error)}; expected what model.save has made"


def _find_fault(model: Any) -> str:
    """Says why a model is not a backbone; empty if nothing does."""
    inputs, outputs = getattr(model, "inputs", None) or [], getattr(model, "outputs", None) or []
    if not (isinstance(model, keras.Model) and inputs and outputs and is_functional(make_functional(model))):
        return f"it holds a {type(model).__name__}, not a functional or sequential Keras model"
    if len(inputs) > 1 or len(outputs) > 1:
        what, count = ("inputs", len(inputs)) if len(inputs) > 1 else ("outputs", len(outputs))
        return f"it has {count} {what}; {EXPECTED}; save a part with one: keras.Model(INPUT, OUTPUT).save('net.keras')"
    if len(inputs[0].shape) != 4 or inputs[0].shape[-1] not in (1, 3):
        return f"it takes {tuple(inputs[0].shape[1:])}; {EXPECTED}"
    foreign = [layer for layer in flatten_layers(model) if not is_stock(layer)]
    if foreign:
        name = type(foreign[0]).__name__
        return f"it uses '{name}', which plain Keras cannot load; expected a network of stock layers only"
    if any(isinstance(layer, layers.SpectralNormalization) for layer in flatten_layers(model)):
        return "it uses SpectralNormalization, whose weights change even where they are not trained; leave it out"
    return ""


def _convert_to_float32(model: Any) -> Any:
    """Returns a model whose weights and features are float32: others cannot be trained without a scaled loss."""
    if all(layer.compute_dtype == layer.variable_dtype == "float32" for layer in flatten_layers(model)):
        return model
    full = keras.saving.deserialize_keras_object(_set_float32(keras.saving.serialize_keras_object(model)))
    full.set_weights([np.asarray(weight, "float32") for weight in model.get_weights()])
    return full


def _set_float32(config: Any) -> Any:
    if isinstance(config, list):
        return [_set_float32(part) for part in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy" and "float" in config["config"]["name"]:
        return {**config, "config": {"name": "float32"}}
    return {key: _set_float32(part) for key, part in config.items()}


def _is_compound(operation: Any) -> bool:
    return isinstance(operation, COMPOUND)


def _is_augmentation(operation: Any) -> bool:
    """Whether an operation changes images at random: unlike dropout, Keras does so in predictions of a part, too."""
    seeds = len(getattr(operation, "variables", ())) - len(getattr(operation, "weights", ()))
    return seeds > 0 and not operation.weights and not isinstance(operation, (*COMPOUND, *DROPOUT))


def _has_weights(operation: Any) -> bool:
    return any(
        getattr(part, "weights", ()) and not isinstance(part, layers.Normalization) for part in find_leaves(operation)
    )


def _call_inside(operation: Any, *args: Any, **kwargs: Any) -> Any:
    if _is_augmentation(operation):
        return args[0]
    return operation.call(*args, training=None) if _is_compound(operation) else operation(*args, **kwargs)


def _name_apart(part: Any, operations: dict[str, Any]) -> None:
    """Renames layers that would have the same name in one piece."""
    inner = [call.operation for call in list_calls(part)] if isinstance(part, keras.Model) else part.layers
    for operation in inner:
        while operations.setdefault(operation.name, operation) is not operation:
            operation.name = f"{part.name}_{operation.name}"
        if _is_compound(operation):
            _name_apart(operation, operations)


def _find_last_maps(network: Any) -> Any:
    """Returns the last narrow point, as in `find_narrow_points`, before feature maps are pooled for a classifier."""
    narrow = {id(tensor) for tensor in find_narrow_points(network)}
    maps, is_mixed, is_pooled = None, False, False
    for call in list_calls(network):
        (output, *_) = call.output_tensors
        parts = list(find_leaves(call.operation))
        is_mixed |= any(isinstance(part, (*SPATIAL, *MIXING)) for part in parts)
        if any(isinstance(part, SPATIAL) and max(part.kernel_size) > 1 for part in parts):
            is_pooled = False
        if id(output) in narrow:
            is_pooled |= _is_pooling(call, output)
            maps = maps if is_pooled or not is_mixed else output
    return maps


def _is_pooling(call: Any, output: Any) -> bool:
    """Whether what was a map no longer is one; max pooling down to a pixel is one step of many."""
    if len(output.shape) != 4 or isinstance(call.operation, GLOBAL):
        return True
    shapes = [tensor.shape[1:3] for tensor in call.input_tensors]
    is_step = isinstance(call.operation, (*SPATIAL, *MIXING, layers.MaxPooling2D))
    return output.shape[1:3] == (1, 1) and (1, 1) not in shapes and not is_step and bool(shapes)
