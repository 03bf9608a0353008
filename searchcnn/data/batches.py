"""The input pipeline: batches of scaled images in a reproducible order."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from searchcnn.backend import start_keras
from searchcnn.data.dataset import Split

PIXEL_SCALE = 1 / 255
"""What a pixel 0..255 is multiplied by before it reaches a network."""


def batches(split: Split, batch_size: int, *, seed: int | None = None, one_hot: int | None = None) -> Any:
    """Returns batches of images for ``model.fit`` and ``model.evaluate``.

    The n-th pass has the same order in every process and on every Keras backend; two passes have different ones. Give
    ``shuffle=False`` to ``model.fit``: the order is settled here, and Keras would warn or shuffle once more.

    Args:
        split: The images and labels; they stay bytes in memory until a batch is made.
        batch_size: Images in a batch; the last batch may be smaller.
        seed: Order of the images, anew for each pass; None keeps the order of the split.
        one_hot: Number of classes, to get labels as probabilities; None keeps them as integers.

    Returns:
        A ``tf.data.Dataset``, or a ``keras.utils.PyDataset`` on other backends than TensorFlow, of pairs: images in
        0..1, float32 of shape (batch, height, width, channels), and labels, int64 of shape (batch,) or float32 of
        shape (batch, classes).
    """
    start_keras()
    import keras

    make = _tensorflow_batches if keras.backend.backend() == "tensorflow" else _numpy_batches
    return make(split, batch_size, seed, one_hot)


def arrays(split: Split, *, one_hot: int | None = None) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
    """Returns all images and labels at once, in the order of the split, in the form of one batch; see `batches`."""
    scaled = split.images.astype(np.float32) * np.float32(PIXEL_SCALE)
    return scaled, split.labels if one_hot is None else np.eye(one_hot, dtype=np.float32)[split.labels]


def _order(size: int, seed: int | None, epoch: int) -> npt.NDArray[np.int64]:
    """Returns the indices of all samples, of shape (samples,), in the order of one pass."""
    if seed is None:
        return np.arange(size, dtype=np.int64)
    return np.random.default_rng([seed, epoch]).permutation(size).astype(np.int64, copy=False)


def _tensorflow_batches(split: Split, batch_size: int, seed: int | None, one_hot: int | None) -> Any:
    """Shuffles indices and gathers whole batches: half the CPU time of shuffling images one by one."""
    import tensorflow as tf

    epochs = itertools.count()
    with tf.device("CPU"):  # tf.data runs there: on a GPU the images would be copied back for each batch
        images, labels = tf.constant(split.images), tf.constant(split.labels)

    def orders() -> Iterator[npt.NDArray[np.int64]]:
        yield _order(len(split), seed, next(epochs))

    def batch(indices: Any) -> tuple[Any, Any]:
        classes = tf.gather(labels, indices)
        scaled = tf.cast(tf.gather(images, indices), tf.float32) * PIXEL_SCALE
        return scaled, classes if one_hot is None else tf.one_hot(classes, one_hot)

    order = tf.data.Dataset.from_generator(orders, output_signature=tf.TensorSpec((len(split),), tf.int64))
    steps = tf.data.experimental.assert_cardinality(-(-len(split) // batch_size))
    return order.unbatch().batch(batch_size).map(batch).apply(steps).prefetch(tf.data.AUTOTUNE)


def _numpy_batches(split: Split, batch_size: int, seed: int | None, one_hot: int | None) -> Any:
    import keras

    class Batches(keras.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__()
            self._epoch = 0
            self._ended = False
            self._order = _order(len(split), seed, self._epoch)

        def __len__(self) -> int:
            return -(-len(split) // batch_size)

        def __getitem__(self, index: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
            self._ended = index == len(self) - 1
            return arrays(split.take(self._order[index * batch_size : (index + 1) * batch_size]), one_hot=one_hot)

        def __iter__(self) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[Any]]]:
            yield from super().__iter__()
            self.on_epoch_end()

        def on_epoch_end(self) -> None:
            if self._ended:  # Keras also calls this after a look at the first batch
                self._epoch += 1
                self._ended = False
                self._order = _order(len(split), seed, self._epoch)

    return Batches()
