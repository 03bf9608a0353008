"""The input pipeline: batches of normalised images in a reproducible order."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from searchcnn.augmentation import Augmentation, Draws, apply, mix
from searchcnn.backend import count_cpus, start_keras
from searchcnn.data.dataset import Split, Views
from searchcnn.training.label_form import NUMBERS, LabelForm
from searchcnn.training.normalization import SCALE, Normalization

NONE: Final = Augmentation()
PREFETCHED = 2
"""Batches that are made ahead of the training."""


def make_batches(
    split: Split,
    batch_size: int,
    *,
    seed: int | None = None,
    first: int = 0,
    parts: int = 1,
    labels: LabelForm = NUMBERS,
    augmentation: Augmentation = NONE,
    normalization: Normalization = SCALE,
    class_weights: Sequence[float] | None = None,
) -> Any:
    """Returns batches of images for ``model.fit`` and ``model.evaluate``.

    The n-th pass has the same order and the same augmented images in every process and on every Keras backend; two
    passes differ. With JAX, the last batch of a seeded epoch is filled: see `Passes`. Give ``shuffle=False`` to
    ``model.fit``: the order is decided here, and Keras would warn or shuffle again.

    Args:
        split: The images and labels; they stay bytes in memory, or on disk, until a batch is made.
        batch_size: Images in a batch; the last batch may be smaller.
        seed: Order of the images and their augmentation, new ones for each pass; None keeps the order of the split.
        first: Number of the first epoch; later than 0 where a training is resumed.
        parts: Epochs that one pass over the images is divided into; the few images that are left over are others in
            each pass.
        labels: The form of the labels.
        augmentation: Changes the images of a seeded pass; where it blends them, all labels must be one-hot.
        normalization: Makes pixels what the network takes.
        class_weights: Weight of an image by its class, of shape (classes,).

    Returns:
        A ``tf.data.Dataset``, or a ``keras.utils.PyDataset`` on other backends than TensorFlow, of pairs: images,
        float32 of shape (batch, height, width, channels), and labels, int64 of shape (batch,) or float32 of shape
        (batch, classes). Class weights make it triples: the third are weights, float32 of shape (batch,), arranged as
        labels are. Features come as they are instead of images.

    Raises:
        ValueError: If class numbers would have to be blended.
    """
    start_keras()
    import keras

    if augmentation.blends and not all(labels.one_hot):
        raise ValueError("mixup blends labels: they must be one-hot")
    backend = keras.backend.backend()
    passes = Passes(split, batch_size, seed, augmentation, first, parts, is_filled=backend == "jax")
    form = Form(labels, normalization.make_function(), class_weights)
    if backend != "tensorflow":
        return _make_numpy_batches(passes, form)
    return (_gather_batches if is_in_memory(split) and not passes.changes else _stream_batches)(passes, form)


def make_arrays(
    split: Split, *, labels: LabelForm = NUMBERS, normalization: Normalization = SCALE
) -> tuple[npt.NDArray[np.float32], Any]:
    """Returns all images and labels at once, in the order of the split, as one batch; see `make_batches`."""
    images = split.images[:]
    probabilities = np.eye(labels.classes, dtype=np.float32)[split.labels] if any(labels.one_hot) else None
    targets = labels.arrange(_convert_numbers(split.labels), probabilities)
    return normalization.normalize(images) if images.dtype == np.uint8 else images, targets


def is_in_memory(split: Split) -> bool:
    """Whether the images are an array in memory, and not one that is mapped or read from disk."""
    return isinstance(split.images, np.ndarray) and not isinstance(split.images, np.memmap)


def _convert_numbers(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | npt.NDArray[np.int32]:
    """Returns class numbers as the backend has them: JAX has no int64 by default, and warns of it."""
    import keras

    return labels.astype(np.int32) if keras.backend.backend() == "jax" else labels


@dataclass(frozen=True)
class Form:
    """What a network and its loss take.

    Attributes:
        labels: The form of the labels.
        normalize: Makes pixels what the network takes.
        class_weights: Weight of an image by its class.
    """

    labels: LabelForm
    normalize: Callable[[Any], Any]
    class_weights: Sequence[float] | None

    def __call__(self, images: Any, labels: Any, draws: Draws) -> tuple[Any, ...]:
        """Makes a batch what ``model.fit`` takes, with Keras; see `make_batches`.

        Args:
            images: Pixels, uint8 of shape (batch, height, width, channels); or features.
            labels: Shape (batch,).
            draws: How the images are changed; see `searchcnn.augmentation.Augmentation.draw`.
        """
        import keras

        probabilities = None
        if keras.backend.standardize_dtype(images.dtype) == "uint8":
            images = self.normalize(mix(apply(images, draws), draws) if draws else images)
        if any(self.labels.one_hot):
            probabilities = mix(keras.ops.one_hot(labels, self.labels.classes, dtype="float32"), draws)
        targets = self.labels.arrange(labels, probabilities)
        if self.class_weights is None:
            return images, targets
        weights = mix(keras.ops.take(np.asarray(self.class_weights, np.float32), labels), draws)
        return images, targets, self.labels.arrange(weights, weights)


@dataclass(frozen=True)
class Passes:
    """Passes over the samples of a split.

    Attributes:
        split: The samples.
        batch_size: Samples in a batch.
        seed: Order of the samples and their augmentation; None keeps the order of the split.
        augmentation: Changes the images of a seeded pass.
        first: Number of the first epoch.
        parts: Epochs that one pass is divided into.
        is_filled: Whether the last batch of a seeded epoch is filled with the epoch's first samples, once more. JAX
            compiles a training step for each size of a batch: one that is smaller costs seconds in each stretch.
    """

    split: Split
    batch_size: int
    seed: int | None = None
    augmentation: Augmentation = NONE
    first: int = 0
    parts: int = 1
    is_filled: bool = False

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    @property
    def count(self) -> int:
        """Samples of an epoch."""
        return len(self.split) // self.parts

    @property
    def changes(self) -> bool:
        """Whether images are changed at random."""
        return self.seed is not None and bool(self.augmentation)

    def draw_order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Returns the indices of an epoch's samples, of shape (samples,), in their order; see `is_filled`."""
        size = len(self.split)
        if self.seed is None:
            return np.arange(size, dtype=np.int64)
        number, part = divmod(epoch, self.parts)
        order = np.random.default_rng([self.seed, number]).permutation(size).astype(np.int64, copy=False)
        order = order[part * self.count : (part + 1) * self.count]
        return np.resize(order, len(self) * self.batch_size) if self.is_filled and len(self) > 1 else order

    def make_batch(
        self, order: npt.NDArray[np.int64], epoch: int, index: int
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64], Draws]:
        """Returns the images and labels of one batch of a pass, and how `Form` has to change them."""
        indices = order[index * self.batch_size : (index + 1) * self.batch_size]
        labels = self.split.labels[indices]
        if isinstance(self.split.images, Views):
            return self.split.images.draw(indices, self._make_random(epoch, index)), labels, {}
        images = self.split.images[indices]
        if not self.changes:
            return images, labels, {}
        random = self._make_random(epoch, index)
        moved = self.augmentation.move(images, random)
        return moved, labels, self.augmentation.draw(moved.shape, random)

    def draw_changes(self, epoch: int, index: int, count: int) -> Draws:
        """Returns how the images of one batch of a pass are changed, which `make_batch` does in part already.

        Args:
            epoch: Number of the epoch.
            index: Number of the batch.
            count: Number of its images.
        """
        if not self.changes:
            return {}
        shape, random = (count, *self.split.images.shape[1:]), self._make_random(epoch, index)
        moves = self.augmentation.draw_moves(shape, random)
        return {**moves, **self.augmentation.draw(shape, random)}

    def _make_random(self, epoch: int, index: int) -> np.random.Generator:
        return np.random.default_rng([self.seed or 0, epoch, index + 1])  # 0 is the stream of the order


def _gather_batches(passes: Passes, form: Form) -> Any:
    """Shuffles indices and gathers whole batches: half the CPU time of shuffling images one by one."""
    import tensorflow as tf

    epochs, split = itertools.count(passes.first), passes.split
    with tf.device("CPU"):  # tf.data runs there: on a GPU the images would be copied back for each batch
        images, labels = tf.constant(split.images), tf.constant(split.labels)

    def draw_orders() -> Iterator[npt.NDArray[np.int64]]:
        yield passes.draw_order(next(epochs))

    def gather(indices: Any) -> tuple[Any, ...]:
        return form(tf.gather(images, indices), tf.gather(labels, indices), {})

    order = tf.data.Dataset.from_generator(draw_orders, output_signature=tf.TensorSpec((None,), tf.int64))
    return _prefetch(order.unbatch().batch(passes.batch_size).map(gather), len(passes))


def _stream_batches(passes: Passes, form: Form) -> Any:
    """Gathers batches in NumPy and finishes them in parallel, a few ahead of the training."""
    import tensorflow as tf

    epochs = itertools.count(passes.first)

    def generate() -> Iterator[tuple[Any, ...]]:
        epoch = next(epochs)
        order = passes.draw_order(epoch)
        for index in range(len(passes)):
            yield passes.make_batch(order, epoch, index)

    example = passes.make_batch(np.zeros(1, np.int64), 0, 0)
    signature = tf.nest.map_structure(lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), example)
    batches = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return _prefetch(batches.map(form, num_parallel_calls=count_cpus(), deterministic=True), len(passes))


def _prefetch(data: Any, steps: int) -> Any:
    """Has a few batches ready ahead of time.

    Nothing is tuned automatically: the thread that does it sleeps 10 ms, 20 ms, 40 ms, ..., and the end of an epoch
    waits until it wakes up, which can take as long as the epoch (TensorFlow 2.21; on one core in every epoch).
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return data.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(PREFETCHED).with_options(options)


def _make_numpy_batches(passes: Passes, form: Form) -> Any:
    import keras

    class Batches(keras.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__()
            self._epoch = passes.first
            self._ended = False
            self._order = passes.draw_order(self._epoch)

        def __len__(self) -> int:
            return len(passes)

        def __getitem__(self, index: int) -> tuple[Any, ...]:
            self._ended = index == len(self) - 1
            images, labels, draws = passes.make_batch(self._order, self._epoch, index)
            return form(images, _convert_numbers(labels), draws)

        def __iter__(self) -> Iterator[tuple[Any, ...]]:
            yield from super().__iter__()
            self.on_epoch_end()

        def on_epoch_end(self) -> None:
            if self._ended:  # Keras also calls this after a look at the first batch
                self._epoch += 1
                self._ended = False
                self._order = passes.draw_order(self._epoch)

    return Batches()
