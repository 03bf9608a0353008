"""Tells photos, which pretrained networks know, from drawings, scans and icons: photos have many colours.

Drawings have few, even where a JPEG or a scan added some.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from searchcnn.data.findings import Report

LEAST_SIDE = 64
"""Pixels of the longer side of the median image, as it came, from which it may be a photo."""
LEAST_COLOURS = 90.0
"""Colours of the median image from which it may be a photo: in the middle between the sets of drawings and of photos
that docs/how-to/use-your-own-images.md lists."""

SAMPLE = 250
"""Images, evenly taken from all, that are looked at."""
GRID = 32
"""Rows and columns of pixels, evenly taken from an image, that are looked at; so its size hardly matters."""
BITS = 5
"""Of a channel's eight, those that tell colours apart: most of what a JPEG changes is in the others."""
ENDS = (1, 99)
"""Percentiles of an image's pixels that become black and white, so that dark photos have the colours of others."""
FAINT = 64
"""Images whose pixels have a smaller range than this are stretched as if they had it: they may be little but noise."""


def why_not_photos(report: Report) -> str:
    """Returns in words why the images of a dataset are not taken for photos, by colours and sizes; nothing if they are.

    The words are ``grey``, ``small (28 pixels)`` or ``few colours (14), as in drawings``.
    """
    side = max(report.sizes[1]) if report.sizes else 0
    if report.shape[-1] == 1:
        return "grey"
    if side < LEAST_SIDE:
        return f"small ({side} pixels)"
    return "" if report.colours >= LEAST_COLOURS else f"few colours ({report.colours:.0f}), as in drawings"


def count_colours(images: Any) -> float:
    """Returns how many colours the median image has.

    A colour counts as much as it is used, ``exp(-sum(share * log(share)))``: four that cover a quarter each are four,
    and the many at the edges of two areas hardly more than two.

    Args:
        images: Pixels 0..255, uint8 of shape (images, height, width, channels), in memory, mapped or `Mapped`.
    """
    if not len(images):
        return 0.0
    rows = np.linspace(0, len(images) - 1, min(len(images), SAMPLE)).astype(np.int64)
    return float(np.median([_count(images[row : row + 1][0]) for row in rows]))  # one at a time: large ones fit, too


def _count(image: npt.NDArray[np.uint8]) -> float:
    step = max(1, min(image.shape[:2]) // GRID)
    rows, columns = _spread(image[:, ::step].max(axis=(1, 2))), _spread(image[::step].max(axis=(0, 2)))
    levels = _stretched(image[rows][:, columns]) >> (8 - BITS)
    colours = levels.reshape(len(rows) * len(columns), -1) @ (1 << BITS * np.arange(image.shape[2]))
    shares = np.unique(colours, return_counts=True)[1] / len(colours)
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _spread(brightest: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Returns rows or columns, evenly taken from those that are not all black, as the bars of padded images are."""
    places = np.flatnonzero(brightest) if brightest.any() else np.arange(len(brightest))
    return places.take((np.arange(GRID) * len(places) + len(places) // 2) // GRID)


def _stretched(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    darkest, brightest = np.percentile(pixels, ENDS)
    stretched = (pixels - darkest) * 255 / max(float(brightest - darkest), FAINT)
    return np.asarray(stretched.clip(0, 255), np.int64)
