"""The input pipeline: batches of scaled images in a reproducible order."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from searchcnn.backend import start_keras
from searchcnn.data.augmentation import Augmentation
from searchcnn.data.dataset import Split

PIXEL_SCALE = 1 / 255
"""What a pixel 0..255 is multiplied by before it reaches a network."""

NONE: Final = Augmentation()


def batches(
    split: Split,
    batch_size: int,
    *,
    seed: int | None = None,
    first: int = 0,
    one_hot: int | None = None,
    outputs: int = 1,
    augmentation: Augmentation = NONE,
) -> Any:
    """Returns batches of images for ``model.fit`` and ``model.evaluate``.

    The n-th pass has the same order and the same augmented images in every process and on every Keras backend; two
    passes have different ones. Give ``shuffle=False`` to ``model.fit``: the order is settled here, and Keras would warn
    or shuffle once more.

    Args:
        split: The images and labels; they stay bytes in memory until a batch is made.
        batch_size: Images in a batch; the last batch may be smaller.
        seed: Order of the images and their augmentation, anew for each pass; None keeps the order of the split.
        first: Number of the first pass; a training that goes on begins later than 0.
        one_hot: Number of classes, to get labels as probabilities; None keeps them as integers.
        outputs: Outputs of the network; where it is more than one, the labels come as a tuple, once for each.
        augmentation: Changes the images of a seeded pass.

    Returns:
        A ``tf.data.Dataset``, or a ``keras.utils.PyDataset`` on other backends than TensorFlow, of pairs: images in
        0..1, float32 of shape (batch, height, width, channels), and labels, int64 of shape (batch,) or float32 of
        shape (batch, classes). Features come as they are instead of images.
    """
    start_keras()
    import keras

    passes = Passes(split, batch_size, seed, augmentation, first)
    if keras.backend.backend() != "tensorflow" or isinstance(split.images, np.memmap):
        return _numpy_batches(passes, one_hot, outputs)
    return (_augmented_batches if augmentation else _tensorflow_batches)(passes, one_hot, outputs)


def arrays(split: Split, *, one_hot: int | None = None, outputs: int = 1) -> tuple[npt.NDArray[np.float32], Any]:
    """Returns all images and labels at once, in the order of the split, in the form of one batch; see `batches`."""
    scale = PIXEL_SCALE if split.images.dtype == np.uint8 else 1.0
    scaled = split.images.astype(np.float32) * np.float32(scale)
    labels = split.labels if one_hot is None else np.eye(one_hot, dtype=np.float32)[split.labels]
    return scaled, _repeated(labels, outputs)


def _repeated(labels: Any, outputs: int) -> Any:
    return labels if outputs == 1 else (labels,) * outputs


@dataclass(frozen=True)
class Passes:
    """Passes over the samples of a split.

    Attributes:
        split: The samples.
        batch_size: Samples in a batch.
        seed: Order of the samples and their augmentation; None keeps the order of the split.
        augmentation: Changes the images of a seeded pass.
        first: Number of the first pass.
    """

    split: Split
    batch_size: int
    seed: int | None = None
    augmentation: Augmentation = NONE
    first: int = 0

    def __len__(self) -> int:
        return -(-len(self.split) // self.batch_size)

    def order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Returns the indices of all samples, of shape (samples,), in the order of one pass."""
        size = len(self.split)
        if self.seed is None:
            return np.arange(size, dtype=np.int64)
        return np.random.default_rng([self.seed, epoch]).permutation(size).astype(np.int64, copy=False)

    def batch(self, order: npt.NDArray[np.int64], epoch: int, index: int) -> Split:
        """Returns the samples of one batch of a pass."""
        taken = self.split.take(order[index * self.batch_size : (index + 1) * self.batch_size])
        if self.seed is None or not self.augmentation:
            return taken
        random = np.random.default_rng([self.seed, epoch, index + 1])  # 0 is the stream of the order
        return Split(self.augmentation(taken.images, random), taken.labels)


def _tensorflow_batches(passes: Passes, one_hot: int | None = None, outputs: int = 1) -> Any:
    """Shuffles indices and gathers whole batches: half the CPU time of shuffling images one by one."""
    import tensorflow as tf

    epochs, split = itertools.count(passes.first), passes.split
    with tf.device("CPU"):  # tf.data runs there: on a GPU the images would be copied back for each batch
        images, labels = tf.constant(split.images), tf.constant(split.labels)

    def orders() -> Iterator[npt.NDArray[np.int64]]:
        yield passes.order(next(epochs))

    def batch(indices: Any) -> tuple[Any, Any]:
        return _scaled(tf.gather(images, indices), tf.gather(labels, indices), one_hot, outputs)

    order = tf.data.Dataset.from_generator(orders, output_signature=tf.TensorSpec((len(split),), tf.int64))
    return _prefetched(order.unbatch().batch(passes.batch_size).map(batch), len(passes))


def _augmented_batches(passes: Passes, one_hot: int | None, outputs: int) -> Any:
    """Makes batches in NumPy, a few ahead of the training."""
    import tensorflow as tf

    epochs, split = itertools.count(passes.first), passes.split

    def made() -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
        epoch = next(epochs)
        order = passes.order(epoch)
        for index in range(len(passes)):
            batch = passes.batch(order, epoch, index)
            yield batch.images, batch.labels

    signature = (
        tf.TensorSpec((None, *split.images.shape[1:]), split.images.dtype),
        tf.TensorSpec((None,), split.labels.dtype),
    )
    made_batches = tf.data.Dataset.from_generator(made, output_signature=signature)
    return _prefetched(made_batches.map(lambda images, labels: _scaled(images, labels, one_hot, outputs)), len(passes))


def _scaled(images: Any, labels: Any, one_hot: int | None, outputs: int) -> tuple[Any, Any]:
    import tensorflow as tf

    scale = PIXEL_SCALE if images.dtype == tf.uint8 else 1.0
    given = labels if one_hot is None else tf.one_hot(labels, one_hot)
    return tf.cast(images, tf.float32) * scale, _repeated(given, outputs)


def _prefetched(data: Any, steps: int) -> Any:
    import tensorflow as tf

    return data.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(tf.data.AUTOTUNE)


def _numpy_batches(passes: Passes, one_hot: int | None = None, outputs: int = 1) -> Any:
    import keras

    class Batches(keras.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__()
            self._epoch = passes.first
            self._ended = False
            self._order = passes.order(self._epoch)

        def __len__(self) -> int:
            return len(passes)

        def __getitem__(self, index: int) -> tuple[npt.NDArray[np.float32], Any]:
            self._ended = index == len(self) - 1
            return arrays(passes.batch(self._order, self._epoch, index), one_hot=one_hot, outputs=outputs)

        def __iter__(self) -> Iterator[tuple[npt.NDArray[np.float32], Any]]:
            yield from super().__iter__()
            self.on_epoch_end()

        def on_epoch_end(self) -> None:
            if self._ended:  # Keras also calls this after a look at the first batch
                self._epoch += 1
                self._ended = False
                self._order = passes.order(self._epoch)

    return Batches()
