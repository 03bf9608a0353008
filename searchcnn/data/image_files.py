"""Makes a dataset of image files that are sorted by part and class, wherever they are kept."""

from collections.abc import Container, Mapping
from io import BytesIO
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from searchcnn.data.dataset import Split, Undivided
from searchcnn.data.reading import reading
from searchcnn.errors import DataError

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
MODES = ("L", "RGB", "RGBA")
"""Pillow's names for one, three and four bytes a pixel."""

HELD_OUT = ("test", "val", "valid", "validation")
"""Folders of test images, the first that is there: where there is no ``test``, no search may see what was held out."""
PARTS = ("train", *HELD_OUT)

Files = Mapping[str, Mapping[str, Path | bytes]]
"""The files of one part, or their content: by class and name of the file."""


class _Image(NamedTuple):
    place: Path
    file: Path | bytes
    label: int


def is_image(name: str) -> bool:
    """Whether a file of that name holds an image."""
    return PurePath(name).suffix.lower() in SUFFIXES and not name.startswith(".")


def held_out(parts: Container[str]) -> str | None:
    """Returns the part that holds the test images, or None."""
    return next((part for part in HELD_OUT if part in parts), None)


def read_images(root: Path, parts: Mapping[str, Files]) -> Undivided:
    """Reads the images of both parts; the names of the classes are sorted.

    Args:
        root: Where they are kept, for messages.
        parts: Their files by part: ``train``, and ``test`` or another name of ``HELD_OUT``.

    Raises:
        DataError: If an image is damaged or differs in size or mode, or the classes of both parts differ.
    """
    test = held_out(parts)
    if "train" not in parts or test is None:
        raise DataError(f"{root}: expected images in train/<class>/ and test/<class>/ (or val/<class>/)")
    class_names = _class_names(parts["train"])
    if _class_names(parts[test]) != class_names:
        raise DataError(f"{root / test}: expected one folder for each class in {root / 'train'}, named the same")
    listed = [_images(root / part, parts[part], class_names) for part in ("train", test)]
    like = _pixels(listed[0][0])
    return Undivided(_split(listed[0], like), _split(listed[1], like), class_names)


def _class_names(files: Files) -> tuple[str, ...]:
    return tuple(sorted(name for name in files if not name.startswith(".")))


def _images(place: Path, files: Files, class_names: tuple[str, ...]) -> list[_Image]:
    images = [
        _Image(place / class_name / name, files[class_name][name], label)
        for label, class_name in enumerate(class_names)
        for name in sorted(files[class_name])
        if is_image(name)
    ]
    if not images:
        raise DataError(f"{place}: no images; expected <class>/<image>, with one of {', '.join(sorted(SUFFIXES))}")
    return images


def _split(images: list[_Image], like: npt.NDArray[np.uint8]) -> Split:
    pixels = np.empty((len(images), *like.shape), np.uint8)
    for index, image in enumerate(images):
        pixels[index] = _alike(image, like.shape)
    return Split(pixels, np.array([image.label for image in images], np.int64))


def _alike(image: _Image, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    pixels = _pixels(image)
    if pixels.shape != shape:
        raise DataError(
            f"{image.place}: is {_text(pixels.shape)} where the first image is {_text(shape)} (height x width x "
            "channels); bring all images to one size and mode"
        )
    return pixels


def _pixels(image: _Image) -> npt.NDArray[np.uint8]:
    """Returns one image of shape (height, width, channels)."""
    from PIL import Image

    file = BytesIO(image.file) if isinstance(image.file, bytes) else image.file
    with reading(image.place, "an image"), Image.open(file) as opened:
        if opened.mode not in MODES:
            raise DataError(
                f"{image.place}: has Pillow's mode {opened.mode}, expected {', '.join(MODES)}; convert the image"
            )
        pixels = np.asarray(opened, np.uint8)
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def _text(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
