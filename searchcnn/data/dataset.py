"""Images with labels, ready for a study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from searchcnn.data.findings import Finding, Inspection
    from searchcnn.data.preparation import Preparation

Shape = tuple[int, int, int]
Indices = npt.NDArray[np.int64]
"""Indices of images, of shape (images,)."""

PARTS = ("train", "validation", "test")
"""Names of the parts of a dataset."""


class Mapped:
    """Some rows of an array on disk, read when they are needed.

    Args:
        array: The array, mapped.
        rows: Indices of the rows in it, int64 of shape (rows,).
    """

    def __init__(self, array: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> None:
        self._array = array
        self._rows = rows
        self.dtype = array.dtype
        self.shape = (len(rows), *array.shape[1:])
        self.ndim = array.ndim
        self.nbytes = len(rows) * array[:1].nbytes

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: slice | npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Reads the rows of a slice or of an array of indices."""
        return np.asarray(self._array[self._rows[index]])

    def take(self, indices: npt.NDArray[np.int64]) -> "Mapped":
        """Returns some of these rows, int64 of shape (rows,), without reading them."""
        return Mapped(self._array, self._rows[indices])

    def join(self, other: "Mapped") -> "Mapped":
        """Returns these rows and then others of the same array."""
        return Mapped(self._array, np.concatenate([self._rows, other._rows]))


class Views:
    """Features of several views of each image: as it is, and changed at random once for all; a batch has one of them.

    Args:
        features: The features of each view, all float16 or float32 of shape (samples, ...).
    """

    def __init__(self, features: Sequence[npt.NDArray[Any]]) -> None:
        self._features = features

    def take(self, indices: npt.NDArray[np.int64]) -> "Views":
        """Returns the views of the images at the indices, int64 of shape (images,)."""
        return Views([features[indices] for features in self._features])

    def draw(self, indices: npt.NDArray[np.int64], random: np.random.Generator) -> npt.NDArray[Any]:
        """Returns the features of a random view of each image.

        Args:
            indices: The images, shape (batch,).
            random: Chooses the views.
        """
        views = random.integers(len(self._features), size=len(indices))
        return np.stack([self._features[view][index] for view, index in zip(views, indices, strict=True)])


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a dataset.

    Attributes:
        images: Pixels 0..255, uint8 of shape (samples, height, width, channels), in memory or `Mapped`; or features
            that a network has computed from them, float16 or float32 of shape (samples, ...), or `Views`.
        labels: Index of each image's class, int64 of shape (samples,).
        names: Name of each image for people; empty where nobody asks.
        copies: A number for each image that it shares with its copies, int64 of shape (samples,); None if unknown.
    """

    images: Any
    labels: npt.NDArray[np.int64]
    names: Sequence[str] = ()
    copies: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: npt.NDArray[np.int64]) -> "Split":
        """Returns the samples at the indices, int64 of shape (samples,), in their order."""
        names = [self.names[int(index)] for index in indices] if self.names else ()
        copies = None if self.copies is None else self.copies[indices]
        is_lazy = isinstance(self.images, Mapped | Views)
        images = self.images.take(indices) if is_lazy else self.images[indices]
        return Split(images, self.labels[indices], names, copies)

    def join(self, other: "Split") -> "Split":
        """Returns these samples and then those of another part of the same dataset."""
        is_lazy = isinstance(self.images, Mapped) and isinstance(other.images, Mapped)
        images = self.images.join(other.images) if is_lazy else np.concatenate([self.images[:], other.images[:]])
        is_known = self.copies is not None and other.copies is not None
        copies = np.concatenate([self.copies, other.copies]) if is_known else None
        return Split(images, np.concatenate([self.labels, other.labels]), [*self.names, *other.names], copies)


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images that a model is scored on, which need not be those of a study.

    Attributes:
        source: Where they are, for people.
        class_names: Name of each class by label.
        split: The images.
    """

    source: str
    class_names: Sequence[str]
    split: Split

    def relabel(self, class_names: Sequence[str]) -> Split:
        """Returns the images of the given classes, labelled with their indices."""
        new_labels = {name: label for label, name in enumerate(class_names)}
        labels = np.array([new_labels.get(name, -1) for name in self.class_names], np.int64)[self.split.labels]
        known = np.flatnonzero(labels >= 0)
        rest = self.split.take(known)
        return Split(rest.images, labels[known], rest.names)


@dataclass(frozen=True, eq=False)
class Arrays:
    """A dataset that is held in arrays.

    Attributes:
        parts: Images and labels of each of `PARTS` that the dataset has, ``train`` at least.
        class_names: Name of each class by label; None if unknown.
        findings: What was left out or is odd.
    """

    parts: Mapping[str, Split]
    class_names: tuple[str, ...] | None = None
    findings: tuple["Finding", ...] = ()


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset ready for a study.

    Attributes:
        name: What the study calls it.
        source: Where it is, for people.
        class_names: Name of each class by label.
        train: Images to train on.
        validation: Images that select among networks.
        test: Images that are never used in a search.
        fingerprint: Hash of all images, labels, class names and the parts that the data comes with; the same for every
            seed and size of the parts that searchcnn takes from it.
        sizes: Original height and width of each image of all parts, int32 of shape (images, 2).
        preparation: How an image of any size becomes pixels for a network.
        inspection: What was found in its images.
    """

    name: str
    source: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    fingerprint: str
    sizes: npt.NDArray[np.int32]
    preparation: "Preparation"
    inspection: "Inspection"

    @property
    def input_shape(self) -> Shape:
        """Shape of one image: (height, width, channels)."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)
