"""Images with labels, in memory."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a dataset.

    Attributes:
        images: Pixels 0..255, uint8 of shape (samples, height, width, channels); or features that a network has
            computed from them, float32 of shape (samples, ...).
        labels: Index of each image's class, int64 of shape (samples,).
    """

    images: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: npt.NDArray[np.int64]) -> "Split":
        """Returns the samples at the indices, int64 of shape (samples,), in their order."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True, eq=False)
class Undivided:
    """A dataset as it is kept in files: no validation part has been taken from the training images yet.

    Attributes:
        train: The training images.
        test: The test images.
        class_names: Name of each class by label; None when the files do not tell.
    """

    train: Split
    test: Split
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset ready for a study.

    Attributes:
        name: The name it was asked for by.
        source: Where it was found, for people.
        class_names: Name of each class by label.
        train: Images to train on.
        validation: Images that select among networks.
        test: Images that are never used in a search.
        fingerprint: Hash of all images, labels and class names; the same for every division and seed.
    """

    name: str
    source: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    fingerprint: str

    @property
    def input_shape(self) -> Shape:
        """Shape of one image: (height, width, channels)."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)


def fingerprint(train: Split, test: Split, class_names: tuple[str, ...]) -> str:
    """Returns 32 hexadecimal digits that change with any pixel, label, class name, shape or order of the samples."""
    digest = hashlib.blake2b(repr(class_names).encode(), digest_size=16)
    for array in (train.images, train.labels, test.images, test.labels):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
