"""Reads the four gzipped IDX files in which MNIST and Fashion-MNIST were published."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from searchcnn.data.dataset import Arrays, Split
from searchcnn.sources.reading import explain_errors, make_split

FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
"""Images and labels to train on, then images and labels to test on."""

# Both datasets use the same file names, so files that are not in a folder of their own are taken for Fashion-MNIST.
_FOLDERS = {"fashion_mnist": ("fashion-mnist", "fashion_mnist", "."), "mnist": ("mnist",)}
_UNSIGNED_BYTE = 8


def find(folder: Path, name: str) -> Path | None:
    """Returns the folder that holds all four files of a dataset, or None if there is none."""
    for below in _FOLDERS.get(name, ()):
        if is_complete(folder / below):
            return folder / below
    return None


def is_complete(folder: Path) -> bool:
    """Whether a folder holds all four files."""
    return all((folder / file).is_file() for file in FILES)


def read(folder: Path, name: str) -> Arrays:
    """Reads the four files in a folder.

    Raises:
        DataError: If a file is damaged or not an IDX file.
    """
    train_images, train_labels, test_images, test_labels = (folder / file for file in FILES)
    return Arrays({"train": _read_split(train_images, train_labels), "test": _read_split(test_images, test_labels)})


def _read_split(images_file: Path, labels_file: Path) -> Split:
    images = _read_array(images_file, ("images", "height", "width"))
    labels = _read_array(labels_file, ("labels",))
    with explain_errors(labels_file, f"one label for each image in {images_file.name}"):
        return make_split(images, labels)


def _read_array(path: Path, axes: tuple[str, ...]) -> npt.NDArray[np.uint8]:
    with explain_errors(path, f"a gzipped IDX file of bytes with the axes ({', '.join(axes)})"):
        content = _unzip(path)
        if content[:4] != bytes((0, 0, _UNSIGNED_BYTE, len(axes))):
            raise ValueError(f"begins with the bytes {content[:4].hex() or 'none'}")
        shape = np.frombuffer(content, ">u4", count=len(axes), offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * len(axes)).reshape(shape)


def _unzip(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except (EOFError, zlib.error) as error:
        raise ValueError(f"cut off or damaged: {error}") from error
