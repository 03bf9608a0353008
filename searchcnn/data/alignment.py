"""Whether the same things are at the same place in all images, as in pictures that were cut out and centred."""

from typing import Any

import numpy as np

from searchcnn.data.statistics import compute_moments, draw_sample

ALIGNED = 0.15
"""Share of the mean image from which images are aligned: it is 0.30 of Fashion-MNIST, 0.29 of MNIST, 0.48 of
scikit-learn's digits, but 0.01 of CIFAR-10, 0.03 of photos of flowers and 0.01 of photos of objects."""


def is_aligned(images: Any) -> bool:
    """Whether images are alike in where they are bright: moved ones would be unlike any other then.

    Args:
        images: Pixels 0..255, uint8 of shape (images, height, width, channels), in memory or `Mapped`.
    """
    return measure_alignment(images) >= ALIGNED


def measure_alignment(images: Any) -> float:
    """Returns the share of the variance of all pixels that the mean image explains, 0..1.

    The mean of n images that have nothing in common explains 1 / n of it, which is taken off.

    Args:
        images: As in `is_aligned`.
    """
    sample = draw_sample(images)
    _, deviation = compute_moments(sample)
    explained = sample.mean(axis=0, dtype=np.float64).var(axis=(0, 1))
    share, count = float(explained.mean() / np.square(deviation).mean()), len(sample)
    return max(0.0, (count * share - 1) / (count - 1)) if count > 1 else 0.0
