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


def batches(
    split: Split, batch_size: int, *, seed: int | None = None, one_hot: int | None = None, outputs: int = 1
) -> Any:
    """Returns batches of images for ``model.fit`` and ``model.evaluate``.

    The n-th pass has the same order in every process and on every Keras backend; two passes have different ones. Give
    ``shuffle=False`` to ``model.fit``: the order is settled here, and Keras would warn or shuffle once more.

    Args:
        split: The images and labels; they stay bytes in memory until a batch is made.
        batch_size: Images in a batch; the last batch may be smaller.
        seed: Order of the images, anew for each pass; None keeps the order of the split.
        one_hot: Number of classes, to get labels as probabilities; None keeps them as integers.
        outputs: Outputs of the network; where it is more than one, the labels come as a tuple, once for each.

    Returns:
        A ``tf.data.Dataset``, or a ``keras.utils.PyDataset`` on other backends than TensorFlow, of pairs: images in
        0..1, float32 of shape (batch, height, width, channels), and labels, int64 of shape (batch,) or float32 of
        shape (batch, classes). Features come as they are instead of images.
    """
    start_keras()
    import keras

    in_memory = keras.backend.backend() == "tensorflow" and not isinstance(split.images, np.memmap)
    make = _tensorflow_batches if in_memory else _numpy_batches
    return make(split, batch_size, seed, one_hot, outputs)


def arrays(split: Split, *, one_hot: int | None = None, outputs: int = 1) -> tuple[npt.NDArray[np.float32], Any]:
    """Returns all images and labels at once, in the order of the split, in the form of one batch; see `batches`."""
    scaled = split.images.astype(np.float32) * np.float32(_scale(split))
    labels = split.labels if one_hot is None else np.eye(one_hot, dtype=np.float32)[split.labels]
    return scaled, _repeated(labels, outputs)


def _scale(split: Split) -> float:
    return PIXEL_SCALE if split.images.dtype == np.uint8 else 1.0


def _repeated(labels: Any, outputs: int) -> Any:
    return labels if outputs == 1 else (labels,) * outputs


def _order(size: int, seed: int | None, epoch: int) -> npt.NDArray[np.int64]:
    """Returns the indices of all samples, of shape (samples,), in the order of one pass."""
    if seed is None:
        return np.arange(size, dtype=np.int64)
    return np.random.default_rng([seed, epoch]).permutation(size).astype(np.int64, copy=False)


def _tensorflow_batches(split: Split, batch_size: int, seed: int | None, one_hot: int | None, outputs: int = 1) -> Any:
    """Shuffles indices and gathers whole batches: half the CPU time of shuffling images one by one."""
    import tensorflow as tf

    epochs = itertools.count()
    with tf.device("CPU"):  # tf.data runs there: on a GPU the images would be copied back for each batch
        images, labels = tf.constant(split.images), tf.constant(split.labels)

    def orders() -> Iterator[npt.NDArray[np.int64]]:
        yield _order(len(split), seed, next(epochs))

    def batch(indices: Any) -> tuple[Any, Any]:
        classes = tf.gather(labels, indices)
        scaled = tf.cast(tf.gather(images, indices), tf.float32) * _scale(split)
        return scaled, _repeated(classes if one_hot is None else tf.one_hot(classes, one_hot), outputs)

    order = tf.data.Dataset.from_generator(orders, output_signature=tf.TensorSpec((len(split),), tf.int64))
    steps = tf.data.experimental.assert_cardinality(-(-len(split) // batch_size))
    return order.unbatch().batch(batch_size).map(batch).apply(steps).prefetch(tf.data.AUTOTUNE)


def _numpy_batches(split: Split, batch_size: int, seed: int | None, one_hot: int | None, outputs: int = 1) -> Any:
    import keras

    class Batches(keras.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__()
            self._epoch = 0
            self._ended = False
            self._order = _order(len(split), seed, self._epoch)

        def __len__(self) -> int:
            return -(-len(split) // batch_size)

        def __getitem__(self, index: int) -> tuple[npt.NDArray[np.float32], Any]:
            self._ended = index == len(self) - 1
            indices = self._order[index * batch_size : (index + 1) * batch_size]
            return arrays(split.take(indices), one_hot=one_hot, outputs=outputs)

        def __iter__(self) -> Iterator[tuple[npt.NDArray[np.float32], Any]]:
            yield from super().__iter__()
            self.on_epoch_end()

        def on_epoch_end(self) -> None:
            if self._ended:  # Keras also calls this after a look at the first batch
                self._epoch += 1
                self._ended = False
                self._order = _order(len(split), seed, self._epoch)

    return Batches()
