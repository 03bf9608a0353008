"""Tells photos, which pretrained networks know, from drawings, scans and icons: photos have many colours.

Drawings have few, even where a JPEG or a scan added some.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from searchcnn.data.findings import Inspection

MIN_PHOTO_SIDE = 64
"""Pixels of the longer side of the original median image from which it may be a photo."""
MIN_PHOTO_COLOURS = 90.0
"""Colours of the median image from which it may be a photo: halfway between the sets of drawings and of photos
that docs/how-to/use-your-own-images.md lists."""

SAMPLED_IMAGES = 250
"""Number of images, evenly spaced, whose colours are counted."""
SAMPLED_LINES = 32
"""Number of rows and of columns of pixels, evenly spaced, that are used, so that an image's size hardly matters."""
BITS = 5
"""Of a channel's eight bits, how many tell colours apart: most of what a JPEG changes is in the others."""
ENDS = (1, 99)
"""Percentiles of an image's pixels that become black and white, so that dark photos have as many colours as others."""
MIN_RANGE = 64
"""Images whose pixels have a smaller range are stretched as if they had this one: they may be little but noise."""


def explain_why_not_photos(inspection: Inspection) -> str:
    """Returns why the images of a dataset are not taken for photos, by their colours and sizes; "" if they are.

    The reason is ``grey``, ``small (28 pixels)`` or ``few colours (14), as in drawings``.
    """
    side = max(inspection.sizes[1]) if inspection.sizes else 0
    if inspection.shape[-1] == 1:
        return "grey"
    if side < MIN_PHOTO_SIDE:
        return f"small ({side} pixels)"
    return "" if inspection.colours >= MIN_PHOTO_COLOURS else f"few colours ({inspection.colours:.0f}), as in drawings"


def count_colours(images: Any) -> float:
    """Returns how many colours the median image has.

    A colour counts as much as it is used, ``exp(-sum(share * log(share)))``: four that cover a quarter each are four,
    and the many at the edges of two areas hardly more than two.

    Args:
        images: Pixels 0..255, uint8 of shape (images, height, width, channels), in memory, mapped or `Mapped`.
    """
    if not len(images):
        return 0.0
    rows = np.linspace(0, len(images) - 1, min(len(images), SAMPLED_IMAGES)).astype(np.int64)
    counts = [_count_colours(images[row : row + 1][0]) for row in rows]  # one by one: large images fit, too
    return float(np.median(counts))


def _count_colours(image: npt.NDArray[np.uint8]) -> float:
    step = max(1, min(image.shape[:2]) // SAMPLED_LINES)
    rows, columns = _choose_lines(image[:, ::step].max(axis=(1, 2))), _choose_lines(image[::step].max(axis=(0, 2)))
    levels = _stretch(image[rows][:, columns]) >> (8 - BITS)
    colours = levels.reshape(len(rows) * len(columns), -1) @ (1 << BITS * np.arange(image.shape[2]))
    shares = np.unique(colours, return_counts=True)[1] / len(colours)
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _choose_lines(brightest: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Returns indices of rows or columns, evenly spaced, without those that are all black, as in padded images."""
    lines = np.flatnonzero(brightest) if brightest.any() else np.arange(len(brightest))
    return lines.take((np.arange(SAMPLED_LINES) * len(lines) + len(lines) // 2) // SAMPLED_LINES)


def _stretch(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    darkest, brightest = np.percentile(pixels, ENDS)
    levels = (pixels - darkest) * 255 / max(float(brightest - darkest), MIN_RANGE)
    return np.asarray(levels.clip(0, 255), np.int64)
