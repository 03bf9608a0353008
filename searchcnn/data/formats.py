"""The formats of image files that can be read; whatever depends on the format is derived from this table."""

from collections.abc import Iterable
from importlib.util import find_spec
from typing import NamedTuple


class ImageFormat(NamedTuple):
    """A format of image files.

    Attributes:
        name: What people call it.
        suffixes: Of files, in lower case.
        pillow: What Pillow calls it.
    """

    name: str
    suffixes: tuple[str, ...]
    pillow: str


_FORMATS = (
    ImageFormat("JPEG", (".jpg", ".jpeg", ".jpe"), "JPEG"),
    ImageFormat("PNG", (".png",), "PNG"),
    ImageFormat("GIF", (".gif",), "GIF"),
    ImageFormat("BMP", (".bmp",), "BMP"),
    ImageFormat("WebP", (".webp",), "WEBP"),
    ImageFormat("AVIF", (".avif",), "AVIF"),
    ImageFormat("TIFF", (".tif", ".tiff"), "TIFF"),
    ImageFormat("PNM", (".pbm", ".pgm", ".pnm", ".ppm"), "PPM"),
)
"""Those that Pillow reads; no others: some of those can run programs."""
HEIC = ImageFormat("HEIC", (".heic", ".heif"), "HEIF")
"""What iPhones write; it is read where pi-heif is installed."""
IMAGE_FORMATS = (*_FORMATS, *([HEIC] if find_spec("pi_heif") else []))
"""Those that can be read."""
IMAGE_SUFFIXES = frozenset(suffix for format in IMAGE_FORMATS for suffix in format.suffixes)
PILLOW_FORMATS = tuple(sorted(format.pillow for format in IMAGE_FORMATS))
FORMAT_NAMES = " or ".join([", ".join(format.name for format in _FORMATS[:-1]), _FORMATS[-1].name])
"""The formats that are read without an extra in words, for messages: ``JPEG, PNG, ... or PNM``."""


def suggest_extra(suffixes: Iterable[str]) -> str:
    """Returns what to install for files that are there but cannot be read, to be added to a message; mostly nothing.

    Args:
        suffixes: Those of the files that are there, in lower case.
    """
    is_missing = HEIC not in IMAGE_FORMATS and not set(HEIC.suffixes).isdisjoint(suffixes)
    return "; pip install 'searchcnn[heic]' to read HEIC" if is_missing else ""
