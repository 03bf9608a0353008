"""What makes two networks the same: their layers and connections, whatever the names."""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from searchcnn.spaces import SearchSpace

Signature = tuple[str, ...]
"""One text for each layer, and for all else that decides how a network is trained."""

IGNORED = ("name", "build_config", "module", "registered_name")
"""Keys of a layer's configuration that do not change what it computes."""


def describe_network(space: SearchSpace, hp: Any, model: Any) -> Signature:
    """Describes a network without the names of its layers, as far as training and predictions depend on it.

    Asks the search space for the weight of auxiliary heads and for the phases of training, too: they may ask for
    hyperparameters. The phases change which layers are trainable.

    Args:
        space: The search space.
        hp: The hyperparameters that the network was built with.
        model: The network.
    """
    return (*_layers(model), *_weights(model), *_compilation(model), *_training(space, hp, model))


def difference(one: Signature, other: Signature) -> str:
    """Returns the first difference of two networks, in words."""
    for first, second in itertools.zip_longest(one, other, fillvalue=""):
        if first != second:
            return f"{_short(first, second)} or {_short(second, first)}"
    return "nothing"


def _layers(model: Any) -> Iterator[str]:
    config = _unnamed(model.get_config(), {})
    for position, layer in enumerate(config.pop("layers", ())):
        yield _text(f"layer {position}", {"class": layer.pop("class_name"), **layer.pop("config", {}), **layer})
    yield _text("graph", config)


def _weights(model: Any) -> Iterator[str]:
    yield _text("weights", {str(place): list(weight.shape) for place, weight in enumerate(model.weights)})
    penalties = {str(place): weight.regularizer for place, weight in enumerate(model.weights) if weight.regularizer}
    yield _text("regularizers", penalties)


def _compilation(model: Any) -> Iterator[str]:
    if getattr(model, "compiled", False):
        yield _text(
            "optimizer", {"class": type(model.optimizer).__name__, **_unnamed(model.optimizer.get_config(), {})}
        )
        yield _text("loss", {"loss": model.loss})


def _training(space: SearchSpace, hp: Any, model: Any) -> Iterator[str]:
    if len(model.outputs) > 1:
        yield _text("auxiliary heads", {"weight": space.auxiliary_weight(hp)})
    if getattr(model, "compiled", False):
        return
    for phase in space.phases(hp, model):
        trainable = [weight.trainable for weight in model.weights]
        yield _text("phase", {**asdict(phase), "trainable": trainable})


def _unnamed(value: Any, names: Mapping[str, str]) -> Any:
    """Returns a configuration whose layers are known by their places instead of by their names."""
    if isinstance(value, Mapping):
        inner = value.get("layers", ())
        places = {layer["config"]["name"]: f"#{place}" for place, layer in enumerate(inner) if "config" in layer}
        known = {**names, **places}
        return {key: _unnamed(item, known) for key, item in value.items() if key not in IGNORED}
    if isinstance(value, list | tuple):
        if len(value) == 3 and isinstance(value[0], str):  # a tensor: layer, node, index
            return [names.get(value[0], value[0]), *value[1:]]
        return [_unnamed(item, names) for item in value]
    return value


def _text(part: str, config: Mapping[str, Any]) -> str:
    return f"{part}: {json.dumps(config, default=_plain, sort_keys=True)}"


def _plain(value: Any) -> Any:
    if hasattr(value, "get_config"):
        return [type(value).__name__, _unnamed(value.get_config(), {})]
    if hasattr(value, "tolist"):
        return value.tolist()
    return getattr(value, "__qualname__", type(value).__name__)


def _short(text: str, other: str) -> str:
    """Returns of a part what the other one does not have."""
    if not text:
        return "no such layer"
    part, _, config = text.partition(": ")
    values, others = json.loads(config), json.loads(other.partition(": ")[2] or "{}")
    own = {key: value for key, value in values.items() if key == "class" or others.get(key) != value}
    listed = ", ".join(f"{key} {value}" for key, value in own.items() if key != "inbound_nodes")
    return f"{part} ({listed[:160]})"
