"""Reads image files that are sorted into folders: ``<name>/train/<class>/*.png``, ``<name>/test/<class>/*.png``."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from searchcnn.data.dataset import Split, Undivided
from searchcnn.data.reading import reading
from searchcnn.errors import DataError

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
MODES = ("L", "RGB", "RGBA")
"""Pillow's names for one, three and four bytes a pixel."""


def find(folder: Path, name: str) -> Path | None:
    """Returns the folder of a dataset's images, or None."""
    path = folder / name
    return path if (path / "train").is_dir() and (path / "test").is_dir() else None


def read(folder: Path, name: str) -> Undivided:
    """Reads all images below ``train/`` and ``test/``; the names of their folders, sorted, are the classes.

    Raises:
        DataError: If an image is damaged or differs in size or mode, or the classes of both parts differ.
    """
    class_names = _class_names(folder / "train")
    if _class_names(folder / "test") != class_names:
        raise DataError(f"{folder / 'test'}: expected one folder for each class in {folder / 'train'}, named the same")
    train, test = (_labelled(folder / part, class_names) for part in ("train", "test"))
    like = _pixels(train[0][0])
    return Undivided(_split(train, like), _split(test, like), class_names)


def _class_names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")))


def _labelled(folder: Path, class_names: tuple[str, ...]) -> list[tuple[Path, int]]:
    files = [
        (path, label)
        for label, class_name in enumerate(class_names)
        for path in sorted((folder / class_name).iterdir())
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    if not files:
        raise DataError(f"{folder}: no images; expected <class>/<image>, with one of {', '.join(sorted(SUFFIXES))}")
    return files


def _split(files: list[tuple[Path, int]], like: npt.NDArray[np.uint8]) -> Split:
    images = np.empty((len(files), *like.shape), np.uint8)
    for index, (path, _) in enumerate(files):
        images[index] = _alike(path, like.shape)
    return Split(images, np.array([label for _, label in files], np.int64))


def _alike(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    pixels = _pixels(path)
    if pixels.shape != shape:
        raise DataError(
            f"{path}: is {_text(pixels.shape)} where the first image is {_text(shape)} (height x width x channels); "
            "bring all images to one size and mode"
        )
    return pixels


def _pixels(path: Path) -> npt.NDArray[np.uint8]:
    """Returns one image of shape (height, width, channels)."""
    from PIL import Image

    with reading(path, "an image"), Image.open(path) as image:
        if image.mode not in MODES:
            raise DataError(f"{path}: has Pillow's mode {image.mode}, expected {', '.join(MODES)}; convert the image")
        pixels = np.asarray(image, np.uint8)
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
