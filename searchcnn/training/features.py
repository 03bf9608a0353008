"""Features of frozen networks: computed once for each image, then reused by all epochs, trials and studies.

What a network computes before its first trained layer is the same in each epoch. The rest of the network is trained on
those features, at a fraction of the cost; the whole network, which shares its layers, gives the same predictions.
"""

import contextlib
import hashlib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from searchcnn.data import SCALE, Normalization, Split, arrays, cache
from searchcnn.files import replacing
from searchcnn.graph import calls, functional, leaves, narrow_points

BATCH = 64
"""Images computed at once; the feature maps of a large network take megabytes each."""
IN_MEMORY = 2**30
"""Bytes up to which the features of a split are read into memory; larger ones stay mapped on disk."""
PROBE = 4
"""Images whose features identify a network, together with its weights."""


def divide(model: Any) -> tuple[Any, Any] | None:
    """Divides a network behind the last point up to which it always computes the same from an image.

    Args:
        model: A functional or sequential Keras model.

    Returns:
        The part before, from images to features, and the part after, from features to the model's outputs; they share
        its layers. None if no weights come before such a point, so that nothing would be saved.
    """
    graph = functional(model)
    narrow = {id(tensor) for tensor in narrow_points(graph)}
    point, has_weights = None, False
    for call in calls(graph):
        parts = list(leaves(call.operation))
        if any(_changes(part) for part in parts):
            break
        has_weights |= any(getattr(part, "weights", ()) for part in parts)
        (output, *_) = call.output_tensors
        if has_weights and id(output) in narrow:
            point = output
    if point is None or any(point is output for output in graph.outputs):
        return None
    return keras.Model(graph.input, point), keras.Model(point, graph.output)


class FeatureCache:
    """Keeps features on disk, the most recently used ones, up to a size.

    Args:
        data: Identifies the images, such as a dataset's fingerprint.
        limit: Bytes on disk, of all studies together.
        folder: Where they are kept; the user's cache by default.
    """

    def __init__(self, data: str, limit: int, folder: Path | None = None) -> None:
        self._data = data
        self._limit = limit
        self._folder = folder or cache("features")

    def fits(self, network: Any, *splits: Split) -> bool:
        """Whether the features of all splits may be kept at once."""
        return sum(_size(network, split) for split in splits) <= self._limit

    def features(
        self,
        network: Any,
        split: Split,
        name: str,
        watch: Callable[[float], None],
        normalization: Normalization = SCALE,
    ) -> Split:
        """Returns what a network computes from each image, and the labels.

        Args:
            network: The part of a network that does not change, from images to features.
            split: The images.
            name: Which part of the dataset they are.
            watch: Called with the part that is done, 0..1; it may raise to stop.
            normalization: Makes pixels what the network takes.

        Returns:
            Features instead of images: float32 of shape (samples, ...), mapped from disk if they are large.

        Raises:
            OSError: If they cannot be kept.
        """
        path = self._folder / f"{self._digest(network, split, name, normalization)}.npy"
        features = _read(path, _shape(network, split))
        if features is None:
            self._make_room(_size(network, split))
            with replacing(path) as new:
                _compute(network, split, new, watch, normalization)
            features = np.load(path, mmap_mode="r")
        with contextlib.suppress(OSError):  # somebody else's, or no longer there
            os.utime(path)
        return Split(features if features.nbytes > IN_MEMORY else np.array(features), split.labels)

    def _digest(self, network: Any, split: Split, name: str, normalization: Normalization) -> str:
        known = f"{self._data} {name} {_shape(network, split)}"  # flattened features have the same bytes
        digest = hashlib.blake2b(known.encode(), digest_size=16)
        images, _ = arrays(Split(split.images[:PROBE], split.labels[:PROBE]), normalization=normalization)
        for array in [*network.get_weights(), keras.ops.convert_to_numpy(network(images, training=False))]:
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def _make_room(self, size: int) -> None:
        files = sorted(self._folder.glob("*"), key=lambda file: file.stat().st_mtime)
        taken = sum(file.stat().st_size for file in files)
        for file in files:
            if taken + size <= self._limit:
                return
            taken -= file.stat().st_size
            file.unlink(missing_ok=True)


def _changes(layer: Any) -> bool:
    """Whether a layer is trained, gathers statistics or is random.

    A layer called with ``training=False`` is no exception: Keras overrides that while it trains a functional model.
    """
    seeds = len(getattr(layer, "variables", ())) - len(getattr(layer, "weights", ()))
    is_random = seeds > 0 and getattr(layer, "rate", 1.0) > 0
    is_gathering = isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    return is_random or is_gathering or bool(getattr(layer, "trainable_weights", ()))


def _shape(network: Any, split: Split) -> tuple[int, ...]:
    shape = network.output_shape
    if None in shape[1:]:  # a network for images of any size
        shape = network.compute_output_shape(split.images.shape)
    return len(split), *shape[1:]


def _size(network: Any, split: Split) -> int:
    return 4 * math.prod(_shape(network, split))


def _read(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.float32] | None:
    """Returns the features in a file, mapped; None if it does not exist or is damaged."""
    try:
        features = np.lib.format.open_memmap(path, "r")
    except Exception:
        return None
    return features if features.shape == shape and features.dtype == np.float32 else None


def _compute(
    network: Any, split: Split, path: Path, watch: Callable[[float], None], normalization: Normalization
) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": _shape(network, split)}
    with path.open("wb") as file:  # not mapped: a full disk would kill the process
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(split), BATCH):
            part = slice(start, start + BATCH)
            images, _ = arrays(Split(split.images[part], split.labels[part]), normalization=normalization)
            file.write(np.asarray(network.predict_on_batch(images), "<f4").tobytes())
            watch(min(1.0, (start + BATCH) / len(split)))
