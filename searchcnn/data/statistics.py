"""Statistics of the pixels of images, from a sample that is always the same."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

MAX_IMAGES: Final = 2000
"""Maximum number of training images that statistics are computed from."""
MAX_VALUES: Final = 2**26
"""Maximum number of pixels times channels that statistics are computed from: 64 MiB in memory."""


def draw_sample(images: Any) -> npt.NDArray[np.uint8]:
    """Returns images drawn at random, as many as statistics need; they may be sorted by class.

    Args:
        images: Pixels 0..255, uint8 of shape (images, height, width, channels), in memory or `Mapped`.
    """
    size = int(np.prod(images.shape[1:]))
    count = min(len(images), MAX_IMAGES, max(1, MAX_VALUES // size))
    indices = np.random.default_rng(0).choice(len(images), count, replace=False)
    return np.asarray(images[np.sort(indices)])


def compute_moments(sample: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns mean and standard deviation of each channel of pixels 0..255, both of shape (channels,)."""
    mean = np.mean([image.mean((0, 1)) for image in sample], axis=0)
    square = np.mean([np.square(image, dtype=np.float64).mean((0, 1)) for image in sample], axis=0)
    return mean, np.sqrt(np.maximum(square - mean**2, 1.0))  # a channel may be constant
