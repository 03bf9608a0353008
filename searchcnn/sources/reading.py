"""Turns whatever goes wrong with a user's file into one line, and checks what was read."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from searchcnn.data.dataset import Split
from searchcnn.errors import DataError
from searchcnn.files import is_full

REPLACE = "replace it, or delete it if it was downloaded"
"""What to do about a damaged file of a published dataset."""
FIX = "fix or replace it"
"""What to do about a user's own file."""


@contextlib.contextmanager
def explain_errors(path: Path | str, expected: str, remedy: str = REPLACE) -> Iterator[None]:
    """Raises a `DataError` that names the file if the body cannot read it.

    Args:
        path: The file that is read.
        expected: What it should be, for the message.
        remedy: What to do.

    Raises:
        DataError: If the body raises anything.
    """
    try:
        yield
    except DataError:
        raise
    except PermissionError as error:
        raise DataError(f"{error.filename or path}: permission denied; make it readable") from error
    except Exception as error:  # decoders raise almost anything on a damaged file
        if is_full(error):  # it is not the file's fault
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: expected {expected} ({reason}); {remedy}") from error


def make_split(images: npt.NDArray[np.generic], labels: npt.NDArray[np.generic]) -> Split:
    """Makes a split from the arrays in a file.

    Args:
        images: Integers 0..255 of shape (samples, height, width) or (samples, height, width, channels).
        labels: Integers of shape (samples,) or (samples, 1).

    Raises:
        ValueError: If they are anything else.
    """
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise ValueError(f"images have shape {images.shape}, not (samples, height, width[, channels])")
    if labels.shape not in ((len(images),), (len(images), 1)):
        raise ValueError(f"labels have shape {labels.shape}, not one label for each of {len(images)} images")
    if labels.dtype.kind not in "iu" or int(labels.min()) < 0:
        raise ValueError(f"labels are {labels.dtype}, from {labels.min()}, not integers from 0")
    pixels = images if images.ndim == 4 else images[..., np.newaxis]
    return Split(_check_pixels(pixels), labels.reshape(-1).astype(np.int64))


def _check_pixels(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    if pixels.dtype.kind not in "iu" or int(pixels.min()) < 0 or int(pixels.max()) > 255:
        raise ValueError(f"pixels are {pixels.dtype}, {pixels.min()}..{pixels.max()}, not integers 0..255")
    return pixels.astype(np.uint8, copy=False)
