"""Divides a small set of images in several ways, so that each image is measured on once."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from searchcnn.data.dataset import Indices, Split
from searchcnn.data.division import make_random_state
from searchcnn.data.near_copies import find_firsts


class Fold(NamedTuple):
    """A division of images.

    Attributes:
        fitted: Indices of the images to train on, int64 of shape (images,).
        measured: Indices of the images to measure on, int64 of shape (images,).
    """

    fitted: Indices
    measured: Indices


def make_folds(split: Split, count: int, seed: int) -> list[Fold]:
    """Divides images so that each is measured on once; each class has the same share in every fold.

    Copies of an image stay together, and near copies where they are known.

    Args:
        split: The images.
        count: Number of folds; fewer if no class has that many images.
        seed: Chooses the images; the same seed chooses the same ones.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    count = max(2, min(count, int(np.bincount(split.labels).max())))
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=make_random_state(seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a class with fewer images than folds
        return [Fold(*indices) for indices in splitter.split(split.labels, split.labels, _group_copies(split))]


def _group_copies(split: Split) -> Sequence[int] | Indices:
    """Returns for each image the index of the first one that it is a copy of."""
    if split.copies is not None:
        return find_firsts(split.copies)
    firsts: dict[bytes, int] = {}
    return [firsts.setdefault(split.images[[index]].tobytes(), index) for index in range(len(split))]
