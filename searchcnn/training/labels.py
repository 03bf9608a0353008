"""What labels the losses of a compiled network take: class numbers or probabilities, as in Keras Tuner."""

import functools
import itertools
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from searchcnn.errors import PluginError, get_first_line
from searchcnn.graph import has_output_mapping, name_outputs
from searchcnn.training.label_form import LabelForm

CLASSES = 4
"""Maximum number of classes that a loss is tried out with."""
SURE = 0.9
"""Probability of the class that a network is sure of."""


def find_label_form(model: keras.Model) -> LabelForm:
    """Returns the form of the labels that a compiled network's losses take.

    Raises:
        PluginError: If a loss takes none.
    """
    outputs, losses = name_outputs(model), _list_losses(model)
    one_hot = tuple(takes_one_hot(losses[name], output.shape[-1]) for name, output in outputs.items())
    classes = next(iter(outputs.values())).shape[-1]
    return LabelForm(one_hot, classes, tuple(outputs) if has_output_mapping(model) else ())


def takes_one_hot(loss: Any, classes: int) -> bool:
    """Whether a loss takes one-hot labels, shape (batch, classes), rather than class numbers, shape (batch,).

    A loss that Keras does not know is tried out: it takes labels in the form in which it is smaller for the right class
    than for any other.

    Args:
        loss: Anything that Keras' ``compile`` takes as the loss of one output.
        classes: Number of classes.

    Raises:
        PluginError: If it takes neither.
    """
    function = keras.losses.get(loss) if isinstance(loss, str | dict) else loss
    while isinstance(function, functools.partial):
        function = function.func
    kind = function if hasattr(function, "__name__") else type(function)
    if kind.__module__.partition(".")[0] == "keras":
        return "sparse" not in kind.__name__.lower()
    if loss is None or _tells_classes(loss, classes, one_hot=False):
        return False
    if _tells_classes(loss, classes, one_hot=True):
        return True
    raise PluginError(
        f"the loss {kind.__name__} takes neither class numbers, shape (batch,), nor one-hot labels, shape (batch, "
        f"{classes}): with both it is not smaller for the right class{_explain_failure(loss, classes)}"
    )


def _list_losses(model: keras.Model) -> dict[str, Any]:
    """Returns the loss of each output, by name: what ``compile`` was given."""
    names, loss = list(name_outputs(model)), model.loss
    if isinstance(loss, Mapping) and "class_name" not in loss:
        return {name: loss.get(name) for name in names}
    each = list(loss) if isinstance(loss, list | tuple) else [loss] * len(names)
    return dict(itertools.zip_longest(names, each[: len(names)]))


def _tells_classes(loss: Any, classes: int, one_hot: bool) -> bool:
    try:
        values = _compute_losses(loss, classes, one_hot)
    except Exception:  # whatever a loss does with labels that it does not take
        return False
    right = values.diagonal()
    others = values[~np.eye(len(values), dtype=bool)].reshape(len(values), -1)
    return bool(np.isfinite(values).all() and (right[:, None] < others - 1e-6 * np.abs(others)).all())


def _compute_losses(loss: Any, classes: int, one_hot: bool) -> Any:
    """Returns the loss of images of each class (row) for a network that is sure of each class (column)."""
    count = min(classes, CLASSES)
    batch = 2 if classes != 2 else 3  # not the number of classes, which would hide a wrong shape
    model = keras.Sequential([keras.Input((classes,)), keras.layers.Activation("linear", dtype="float32")])
    model.compile(loss=loss)
    sure = np.full((classes, classes), (1 - SURE) / (classes - 1), np.float32)
    np.fill_diagonal(sure, SURE)
    table = np.empty((count, count))
    for label, guess in itertools.product(range(count), repeat=2):
        numbers = np.full(batch, label)
        labels = np.eye(classes, dtype=np.float32)[numbers] if one_hot else numbers
        value = model.compute_loss(y=keras.ops.convert_to_tensor(labels), y_pred=np.repeat(sure[[guess]], batch, 0))
        table[label, guess] = float(keras.ops.mean(value))
    return table


def _explain_failure(loss: Any, classes: int) -> str:
    try:
        _compute_losses(loss, classes, one_hot=False)
    except Exception as error:
        return f" ({get_first_line(error)})"
    return ""
