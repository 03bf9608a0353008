"""Whether the same things are at the same place in all images, as in pictures that were cut out and centred."""

from typing import Any

import numpy as np

EXAMINED = 2000
"""Images that tell it."""
ALIGNED = 0.15
"""Share of the mean image from which images are aligned: it is 0.30 of Fashion-MNIST and MNIST, 0.48 of scikit-learn's
digits, but 0.05 of CIFAR-10, 0.03 of photos of flowers and 0.01 of photos of objects."""


def is_aligned(images: Any) -> bool:
    """Whether images are alike in where they are bright: moved ones would be unlike any other then.

    Args:
        images: Shape (images, height, width, channels); any that can be sliced.
    """
    return measure_alignment(images) >= ALIGNED


def measure_alignment(images: Any) -> float:
    """Returns the share of the variance of all pixels that the mean image explains, 0..1.

    Args:
        images: Shape (images, height, width, channels); any that can be sliced.
    """
    pixels = np.asarray(images[:EXAMINED], np.float32)
    variance = float(np.square(pixels - pixels.mean(axis=(0, 1, 2))).mean())
    mean = pixels.mean(axis=0)
    return float(np.square(mean - mean.mean(axis=(0, 1))).mean()) / variance if variance else 0.0
