"""Divides few images several ways, so that each of them is measured on once."""

import warnings
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from searchcnn.data.dataset import Split
from searchcnn.data.division import random_state

Indices = npt.NDArray[np.int64]


class Fold(NamedTuple):
    """A division of images.

    Attributes:
        fitted: Indices of the images to train on, int64 of shape (images,).
        measured: Indices of the images to measure on, int64 of shape (images,).
    """

    fitted: Indices
    measured: Indices


def make_folds(split: Split, count: int, seed: int) -> list[Fold]:
    """Divides images so that each is measured on once; each class has the same share in all parts.

    Copies of an image stay together.

    Args:
        split: The images.
        count: Number of folds; fewer where no class has so many images.
        seed: Chooses the images; the same seed chooses the same ones.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    most = int(np.bincount(split.labels).max())
    divide = StratifiedGroupKFold(max(2, min(count, most)), shuffle=True, random_state=random_state(seed)).split
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class with fewer images than folds
        return [Fold(*parts) for parts in divide(split.labels, split.labels, _copies(split))]


def _copies(split: Split) -> list[int]:
    """Returns for each image the place of the first one that has the same pixels."""
    firsts: dict[bytes, int] = {}
    return [firsts.setdefault(split.images[[place]].tobytes(), place) for place in range(len(split))]
