"""Tells whether two networks are the same: their layers and connections, whatever the names."""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from searchcnn.spaces import SearchSpace

Signature = tuple[str, ...]
"""One text for each layer, and for everything else that determines how a network is trained."""

IGNORED = ("name", "build_config", "module", "registered_name")
"""Keys of a layer's configuration that do not change what it computes."""


def describe_network(space: SearchSpace, hp: Any, model: Any) -> Signature:
    """Describes everything in a network that training and predictions depend on, but not the names of its layers.

    Asks the search space for the weight of auxiliary heads and for the phases of training too: they may ask for
    hyperparameters. The phases change which layers are trainable.

    Args:
        space: The search space.
        hp: The hyperparameters that the network was built with.
        model: The network.
    """
    return (
        *_describe_layers(model),
        *_describe_weights(model),
        *_describe_compilation(model),
        *_describe_training(space, hp, model),
    )


def find_difference(first: Signature, second: Signature) -> str:
    """Returns the first difference between two networks, in words."""
    for part, counterpart in itertools.zip_longest(first, second, fillvalue=""):
        if part != counterpart:
            return f"{_shorten(part, counterpart)} or {_shorten(counterpart, part)}"
    return "nothing"


def _describe_layers(model: Any) -> Iterator[str]:
    config = _strip_names(model.get_config(), {})
    for position, layer in enumerate(config.pop("layers", ())):
        yield _format_part(f"layer {position}", {"class": layer.pop("class_name"), **layer.pop("config", {}), **layer})
    yield _format_part("graph", config)


def _describe_weights(model: Any) -> Iterator[str]:
    yield _format_part("weights", {str(index): list(weight.shape) for index, weight in enumerate(model.weights)})
    penalties = {str(index): weight.regularizer for index, weight in enumerate(model.weights) if weight.regularizer}
    yield _format_part("regularizers", penalties)


def _describe_compilation(model: Any) -> Iterator[str]:
    if getattr(model, "compiled", False):
        yield _format_part(
            "optimizer", {"class": type(model.optimizer).__name__, **_strip_names(model.optimizer.get_config(), {})}
        )
        yield _format_part("loss", {"loss": model.loss})


def _describe_training(space: SearchSpace, hp: Any, model: Any) -> Iterator[str]:
    if len(model.outputs) > 1:
        yield _format_part("auxiliary heads", {"weight": space.auxiliary_weight(hp)})
    if getattr(model, "compiled", False):
        return
    for phase in space.phases(hp, model):
        trainable = [weight.trainable for weight in model.weights]
        yield _format_part("phase", {**asdict(phase), "trainable": trainable})


def _strip_names(value: Any, names: Mapping[str, str]) -> Any:
    """Returns a configuration in which layers have numbers instead of names."""
    if isinstance(value, Mapping):
        inner = value.get("layers", ())
        names = {
            **names,
            **{layer["config"]["name"]: f"#{number}" for number, layer in enumerate(inner) if "config" in layer},
        }
        return {key: _strip_names(item, names) for key, item in value.items() if key not in IGNORED}
    if isinstance(value, list | tuple):
        if len(value) == 3 and isinstance(value[0], str):  # a tensor: layer, node, index
            return [names.get(value[0], value[0]), *value[1:]]
        return [_strip_names(item, names) for item in value]
    return value


def _format_part(part: str, config: Mapping[str, Any]) -> str:
    return f"{part}: {json.dumps(config, default=_simplify, sort_keys=True)}"


def _simplify(value: Any) -> Any:
    if hasattr(value, "get_config"):
        return [type(value).__name__, _strip_names(value.get_config(), {})]
    if hasattr(value, "tolist"):
        return value.tolist()
    return getattr(value, "__qualname__", type(value).__name__)


def _shorten(text: str, other: str) -> str:
    """Returns a part of a signature, reduced to what differs from the other one."""
    if not text:
        return "no such layer"
    part, _, config = text.partition(": ")
    values, others = json.loads(config), json.loads(other.partition(": ")[2] or "{}")
    own = {key: value for key, value in values.items() if key == "class" or others.get(key) != value}
    words = ", ".join(f"{key} {value}" for key, value in own.items() if key != "inbound_nodes")
    return f"{part} ({words[:160]})"
