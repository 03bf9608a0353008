"""Class activation maps: where a network sees what it predicts (Zhou et al. 2016, arXiv:1512.04150)."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from searchcnn.graph import as_array, is_softmax, list_calls, make_functional
from searchcnn.keras_private import is_functional

BATCH = 8
"""Number of images that are looked at together."""


class Pooled(NamedTuple):
    """What a classifier pools before its last layer.

    Attributes:
        stages: Networks that lead to the feature maps, one after the other; those have the shape (batch, rows, columns,
            channels).
        weights: Those of the last layer, float32 of shape (channels, classes).
    """

    stages: list[Any]
    weights: npt.NDArray[np.float32]


def map_activations(
    model: Any, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]
) -> Iterator[npt.NDArray[np.float32]]:
    """Yields for each image how much each of its places speaks for a class, as soon as it is known.

    Args:
        model: A classifier.
        images: Raw pixels, shape (images, height, width, channels).
        labels: Index of a class for each image, shape (images,).

    Yields:
        0..1, float32 of shape (rows, columns). Nothing if the network does not end in global average pooling and one
        softmax layer, or pools a single place.
    """
    pooled = find_pooled(model)
    if pooled is None:
        return
    for start in range(0, len(images), BATCH):
        features: Any = images[start : start + BATCH]
        for stage in pooled.stages:
            features = stage(features, training=False)
        if np.prod(features.shape[1:3]) == 1:
            return
        weights = pooled.weights[:, labels[start : start + BATCH]]
        yield from _scale(np.einsum("nrsc,cn->nrs", as_array(features), weights))


def _scale(maps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Returns maps, shape (images, rows, columns), with 1 where each speaks most for its class and 0 against it."""
    highest = maps.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.maximum(maps, 0) / np.maximum(highest, np.finfo(np.float32).tiny), np.float32)


def find_pooled(model: Any) -> Pooled | None:
    """Finds what a classifier pools before its last layer; None if it ends in another way."""
    model = make_functional(model)
    if not is_functional(model):
        return None
    makers = {id(tensor): call for call in list_calls(model) for tensor in call.output_tensors}
    last = makers[id(model.outputs[0])]
    if isinstance(last.operation, keras.Model):
        inner = find_pooled(last.operation)
        first = keras.Model(model.inputs[0], last.input_tensors[0])
        return None if inner is None else Pooled([first, *inner.stages], inner.weights)
    pooling = _find_pooling(makers, last) if is_softmax(last.operation) else None
    if pooling is None or pooling.operation.data_format != "channels_last":
        return None
    return Pooled([keras.Model(model.inputs[0], pooling.input_tensors[0])], last.operation.get_weights()[0])


def _find_pooling(makers: Mapping[int, Any], call: Any) -> Any:
    """Returns the call that pools what a layer gets, if there is nothing but dropout between them; else None."""
    call = makers[id(call.input_tensors[0])]
    while isinstance(call.operation, layers.Dropout):
        call = makers[id(call.input_tensors[0])]
    return call if isinstance(call.operation, layers.GlobalAveragePooling2D) else None
