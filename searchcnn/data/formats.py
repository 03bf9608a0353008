"""The formats of image files that can be read; whatever depends on the format is derived from this table."""

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


IMAGE_FORMATS = (
    ImageFormat("JPEG", (".jpg", ".jpeg", ".jpe"), "JPEG"),
    ImageFormat("PNG", (".png",), "PNG"),
    ImageFormat("GIF", (".gif",), "GIF"),
    ImageFormat("BMP", (".bmp",), "BMP"),
    ImageFormat("WebP", (".webp",), "WEBP"),
    ImageFormat("AVIF", (".avif",), "AVIF"),
    ImageFormat("TIFF", (".tif", ".tiff"), "TIFF"),
    ImageFormat("PNM", (".pbm", ".pgm", ".pnm", ".ppm"), "PPM"),
)
"""No others: some of those that Pillow reads can run programs."""
IMAGE_SUFFIXES = frozenset(suffix for format in IMAGE_FORMATS for suffix in format.suffixes)
PILLOW_FORMATS = tuple(sorted(format.pillow for format in IMAGE_FORMATS))
FORMAT_NAMES = " or ".join([", ".join(format.name for format in IMAGE_FORMATS[:-1]), IMAGE_FORMATS[-1].name])
"""The formats in words, for messages: ``JPEG, PNG, ... or PNM``."""
