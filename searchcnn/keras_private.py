"""The private names of Keras that searchcnn depends on: no other module touches them."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

_REPLACING = threading.RLock()
"""Held by the thread that has replaced a name of Keras."""


@contextlib.contextmanager
def replace_get_file(get_file: Callable[..., str]) -> Iterator[None]:
    """Lets ``keras.applications`` get their weights from another function in the body.

    They call it as ``get_file(file, url, cache_subdir=..., file_hash=...)``, the last one not always. Other threads
    wait until the body ends.

    Args:
        get_file: Returns the path of the file.
    """
    from keras.src.utils import file_utils

    with _REPLACING:
        original = file_utils.get_file
        file_utils.get_file = get_file
        try:
            yield
        finally:
            file_utils.get_file = original


def is_functional(model: Any) -> bool:
    """Whether a model is a graph of calls, which `read_nodes` returns."""
    return hasattr(model, "_nodes_by_depth")


def read_nodes(model: Any) -> Mapping[int, Sequence[Any]]:
    """Returns the calls that a functional model is made of, by their distance from the outputs."""
    nodes: Mapping[int, Sequence[Any]] = model._nodes_by_depth
    return nodes


def flatten_layers(model: Any) -> list[Any]:
    """Returns a model, its layers, the layers of those and so on."""
    return list(model._flatten_layers())


def find_operation(tensor: Any) -> Any:
    """Returns the layer or operation that a symbolic tensor comes from."""
    return tensor._keras_history.operation


def build_compiled(model: Any, batch: Any) -> None:
    """Makes the variables of a compiled model's metrics and optimizer, as ``fit`` does before its first epoch.

    Args:
        model: The model.
        batch: What it is trained on at once: a tuple of images and labels, and perhaps weights.
    """
    model._symbolic_build(data_batch=batch)


def find_schedule(optimizer: Any) -> Any:
    """Returns the learning-rate schedule of an optimizer, or the variable that is its learning rate."""
    return optimizer._learning_rate
