"""Features of frozen networks: computed once for each image, then reused by all epochs, trials and studies.

What a network computes before its first trained layer is the same in each epoch. The rest of the network is trained on
those features, at a fraction of the cost; the whole network, which shares its layers, gives the same predictions.
"""

import contextlib
import hashlib
import io
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from searchcnn.augmentation import Augmentation
from searchcnn.data import Split, Views
from searchcnn.files import locate_cache
from searchcnn.graph import find_leaves, find_narrow_points, list_calls, make_functional
from searchcnn.training.normalization import SCALE, Normalization
from searchcnn.training.pipeline import make_arrays

BATCH = 32
"""Images computed at once; the maps of a large network take megabytes each. On a CPU core EfficientNet-Lite0 did 134
images of 160 pixels a second in batches of 32, and 109 in batches of 64."""
IN_MEMORY = 2**30
"""Bytes up to which the features of a split are read into memory; larger ones stay mapped on disk."""
PROBE = 4
"""Images whose features identify a network, together with its weights."""
MAX_VIEWS = 4
"""Maximum number of views of a training image where images are changed at random: as it is, and changed.
EfficientNet-Lite0, its last nine blocks fine-tuned for five epochs on 2,934 photos of flowers, had 0.9307 on
others with two and with four."""
EPOCHS_OF_A_VIEW = 2
"""Epochs for which one more view is computed."""
LARGEST = float(np.finfo(np.float16).max)
"""Largest number of 16 bits."""
PATIENCE = 0.2
"""Seconds between two looks at whether another process has computed the same features."""
LOCK = ".lock"
"""Suffix of the file that a process locks while it computes features."""

NO_CHANGE = Augmentation()

Check = Callable[[float], None]


def split_frozen(model: keras.Model) -> tuple[keras.Model, keras.Model] | None:
    """Splits a network after the last point up to which it always computes the same from an image.

    Args:
        model: A functional or sequential Keras model.

    Returns:
        The part before, from images to features, and the part after, from features to the model's outputs; they share
        its layers. None if no weights come before such a point, so that nothing would be saved.
    """
    graph = make_functional(model)
    narrow = {id(tensor) for tensor in find_narrow_points(graph)}
    point, has_weights = None, False
    for call in list_calls(graph):
        parts = list(find_leaves(call.operation))
        if any(_changes(part) for part in parts):
            break
        has_weights |= any(getattr(part, "weights", ()) for part in parts)
        (output, *_) = call.output_tensors
        if has_weights and id(output) in narrow:
            point = output
    if point is None or any(point is output for output in graph.outputs):
        return None
    return keras.Model(graph.input, point), keras.Model(point, graph.output)


@dataclass(frozen=True)
class Images:
    """The images that features are computed from.

    Attributes:
        split: The images.
        name: Which part of the dataset they are.
        normalization: Makes pixels what the network takes.
        augmentation: What is done to them at random, in all views but the first.
        view: Number of the view, from 0.
    """

    split: Split
    name: str
    normalization: Normalization = SCALE
    augmentation: Augmentation = NO_CHANGE
    view: int = 0

    def read_batch(self, start: int, count: int = BATCH) -> npt.NDArray[np.float32]:
        """Returns some of the images as the network takes them, shape (batch, height, width, channels)."""
        images = self.split.images[start : start + count]
        if self.view:
            images = self.augmentation.change(images, np.random.default_rng([self.view, start]))
        return make_arrays(Split(images, self.split.labels[start : start + count]), normalization=self.normalization)[0]

    def make_views(self, augmentation: Augmentation, epochs: int) -> list["Images"]:
        """Returns the images as they are, and changed at random: the same in every process.

        Args:
            augmentation: How they are changed.
            epochs: For which they are trained on: the more, the more views there are.
        """
        count = min(MAX_VIEWS, max(1, epochs // EPOCHS_OF_A_VIEW)) if augmentation else 1
        return [replace(self, augmentation=augmentation, view=view) for view in range(count)]


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
        self._folder = folder or locate_cache("features")

    def fits(self, network: keras.Model, *images: Images) -> bool:
        """Whether the features of all images fit into the cache together, maps in 16 bits if necessary."""
        return self._choose_dtype(network, *images) is not None

    def compute_cached(
        self, network: keras.Model, check: Check, train: list[Images], validation: Images
    ) -> tuple[Split, Split]:
        """Returns what a network computes from images to train on and to validate with, and their labels.

        Args:
            network: The part of a network that does not change, from images to features.
            check: Called with the fraction that is done, 0..1; it may raise to stop.
            train: The views of the images to train on.
            validation: The images to validate with.

        Returns:
            Features instead of images: float32 of shape (samples, ...), or float16 where maps would not fit otherwise;
            mapped from disk if they are large.

        Raises:
            OSError: If they cannot be cached.
        """
        dtype = self._choose_dtype(network, *train, validation) or np.dtype("f2")
        key = _identify(network, train[0])
        all_images = [*train, validation]
        count = sum(len(images.split) for images in all_images)
        arrays: list[npt.NDArray[Any]] = []
        for images in all_images:
            narrow = _narrow_check(check, sum(map(len, arrays)) / count, len(images.split) / count)
            arrays.append(self._compute_view(network, images, dtype, key, narrow))
        *views, unseen = arrays
        seen = views[0] if len(views) == 1 else Views(views)
        return Split(seen, train[0].split.labels), Split(unseen, validation.split.labels)

    def compute(self, network: keras.Model, check: Check, train: Images, validation: Images) -> tuple[Split, Split]:
        """Returns what `compute_cached` does; where that cannot be cached, it is computed for this time only."""
        if self.fits(network, train, validation):
            with contextlib.suppress(OSError):  # a full disk, say
                return self.compute_cached(network, check, [train], validation)
        count, done = len(train.split) + len(validation.split), len(train.split)
        seen = list(_compute_batches(network, train, 0, lambda first: check(first / count)))
        unseen = list(_compute_batches(network, validation, 0, lambda first: check((done + first) / count)))
        return Split(np.concatenate(seen), train.split.labels), Split(np.concatenate(unseen), validation.split.labels)

    def _choose_dtype(self, network: keras.Model, *images: Images) -> "np.dtype[Any] | None":
        """Returns the numbers in which features fit: maps may have 16 bits, which take half of the space."""
        count = sum(math.prod(_find_shape(network, view.split)) for view in images)
        kinds = ("f4", "f2") if len(network.output_shape) == 4 else ("f4",)
        dtypes: list[np.dtype[Any]] = [np.dtype(kind) for kind in kinds]
        return next((dtype for dtype in dtypes if dtype.itemsize * count <= self._limit), None)

    def _compute_view(
        self, network: keras.Model, images: Images, dtype: "np.dtype[Any]", key: str, check: Check
    ) -> npt.NDArray[Any]:
        """Returns the features of one view; processes that want the same ones compute them once."""
        shape = _find_shape(network, images.split)
        path = self._folder / f"{self._make_digest(images, shape, dtype, key)}.npy"
        features = _read(path, shape, dtype)
        if features is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            with _lock(path.with_suffix(LOCK), check):
                if _read(path, shape, dtype) is None:
                    self._make_room(dtype.itemsize * math.prod(shape), path)
                    _write(network, images, path, shape, dtype, check)
            features = np.load(path, mmap_mode="r")
        with contextlib.suppress(OSError):  # somebody else's, or no longer there
            os.utime(path)
        return features if features.nbytes > IN_MEMORY else np.array(features)

    def _make_digest(self, images: Images, shape: tuple[int, ...], dtype: "np.dtype[Any]", key: str) -> str:
        view = f" {images.view} {images.augmentation}" if images.view else ""
        identity = (
            f"{self._data} {images.name}{view} {shape} {dtype.str} {key}"  # flattened features have the same bytes
        )
        return hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()

    def _make_room(self, size: int, path: Path) -> None:
        """Deletes the least recently used features, except for what there is of a path."""
        files = [file for file in self._folder.glob("*") if file.suffix != LOCK]  # locks are empty, and may be held
        files.sort(key=lambda file: file.stat().st_mtime)
        total = sum(file.stat().st_size for file in files)
        for file in (file for file in files if file.stem != path.stem):
            if total + size <= self._limit:
                return
            total -= file.stat().st_size
            file.unlink(missing_ok=True)


@contextlib.contextmanager
def _lock(path: Path, check: Check) -> Iterator[None]:
    """Keeps other processes of this machine from computing the same; waits while one of them does."""
    while True:
        try:
            with FileLock(path).acquire(timeout=PATIENCE):
                yield
                return
        except Timeout:
            check(0.0)
        except NotImplementedError as error:  # of a file system without locks
            raise OSError(str(error)) from error


def _narrow_check(check: Check, done: float, share: float) -> Check:
    """Returns the check of a part of the work, given the fraction that was done before and its share of the whole."""
    return lambda fraction: check(done + share * fraction)


def _identify(network: keras.Model, images: Images) -> str:
    """Returns what identifies a network: its weights, and what it computes from a few images."""
    digest = hashlib.blake2b(digest_size=16)
    probe = network(images.read_batch(0, PROBE), training=False)
    for array in [*network.get_weights(), keras.ops.convert_to_numpy(probe)]:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _changes(layer: keras.Layer) -> bool:
    """Whether a layer is trained, gathers statistics or is random.

    A layer called with ``training=False`` is no exception: Keras overrides that while it trains a functional model.
    """
    seeds = len(getattr(layer, "variables", ())) - len(getattr(layer, "weights", ()))
    is_random = seeds > 0 and getattr(layer, "rate", 1.0) > 0
    is_gathering = isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    return is_random or is_gathering or bool(getattr(layer, "trainable_weights", ()))


def _find_shape(network: keras.Model, split: Split) -> tuple[int, ...]:
    shape = network.output_shape
    if None in shape[1:]:  # a network for images of any size
        shape = network.compute_output_shape(split.images.shape)
    return len(split), *shape[1:]


def _read(path: Path, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> npt.NDArray[Any] | None:
    """Returns the features in a file, mapped; None if it does not exist or is damaged."""
    try:
        features = np.lib.format.open_memmap(path, "r")
    except Exception:
        return None
    return features if features.shape == shape and features.dtype == dtype else None


def _write(
    network: keras.Model, images: Images, path: Path, shape: tuple[int, ...], dtype: "np.dtype[Any]", check: Check
) -> None:
    """Writes features to a file; where a process was killed while it did, from its last batch on."""
    part, stored = path.with_suffix(".part"), dtype.newbyteorder("<")
    header, size = _make_header(shape, stored), BATCH * dtype.itemsize * math.prod(shape[1:])
    length = part.stat().st_size if part.exists() else 0
    batches = max(0, length - len(header)) // size
    with part.open("r+b" if length else "wb") as file:  # not mapped: a full disk would kill the process
        file.write(header)
        file.seek(len(header) + batches * size)
        file.truncate()
        for features in _compute_batches(network, images, batches * BATCH, lambda done: check(done / shape[0])):
            file.write((features.clip(-LARGEST, LARGEST) if dtype.itemsize == 2 else features).astype(stored).tobytes())
    part.replace(path)


def _compute_batches(network: keras.Model, images: Images, first: int, check: Check) -> Iterator[npt.NDArray[Any]]:
    """Yields what a network computes from images, batch by batch from the given one on; reports how many are done."""
    count = len(images.split)
    for start in range(first, count, BATCH):
        yield np.asarray(network.predict_on_batch(images.read_batch(start)))
        check(min(count, start + BATCH))


def _make_header(shape: tuple[int, ...], dtype: "np.dtype[Any]") -> bytes:
    """Returns the header of an array's NumPy file."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    return header.getvalue()
