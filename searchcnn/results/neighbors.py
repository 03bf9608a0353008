"""Says which images are unlike all that a model knows: deep nearest neighbours (Sun et al. 2022).

What the last layer of a network is given, its features, is alike for images that are alike. What counts is how far an
image is from the fifth nearest of some validation images, with the features as they are or scaled to length 1,
whichever is less usual: some networks tell by the one, and some by the other. Training images would do as well, but
their features would have to be computed first.
"""

from dataclasses import dataclass
from pathlib import Path
from zipfile import is_zipfile

import numpy as np
import numpy.typing as npt

from searchcnn.files import replace_file

NEAREST = 5
"""Which of the nearest images counts."""
USUAL = 0.98
"""Share of the given images whose distance is taken for usual; the two distances are compared as multiples of it."""
FALSE_ALARMS = 0.01
"""Share of images like those in training that may be called unlike them."""
MOST = 1000
"""Number of images whose features are kept at most."""
MOST_BYTES = 4_000_000
"""Size of what is kept at most."""
MEASURED = 4000
"""Number of images whose distances are measured at most, to find the largest usual one."""

Features = npt.NDArray[np.float32]
"""Features of images, of shape (images, features)."""


@dataclass(frozen=True)
class Neighbors:
    """Images that a model knows.

    Attributes:
        features: Their features.
        usual: Usual distance to the fifth nearest of them, of features as they are and of those of length 1.
        limit: Multiple of these beyond which an image is unlike all of them.
    """

    features: Features
    usual: tuple[float, float]
    limit: float

    def find_unlike(self, features: Features) -> npt.NDArray[np.bool_]:
        """Returns which images are unlike these, of shape (images,), given their features."""
        distances = _measure_distances(self.features, features)
        return np.asarray(np.max(distances / np.array(self.usual), axis=1) > self.limit)


def fit_neighbors(features: Features) -> Neighbors | None:
    """Returns what tells images that are unlike given ones.

    The limit is such that of other images from the same source one of a hundred is called unlike them, or fewer, on
    average: it is a quantile of what is found for the given images, none of which is its own neighbour (conformal
    prediction, Vovk et al. 2005).

    Args:
        features: Of images that the model was not trained on, in random order.

    Returns:
        None if the images are too few to say so, or their features do not differ.
    """
    features = features[:MEASURED]
    count = min(MOST, MOST_BYTES // features[0].nbytes)
    rank = int(np.ceil((len(features) + 1) * (1 - FALSE_ALARMS)))
    if rank > len(features) or count <= NEAREST:
        return None
    distances = _measure_distances(features[:count], features, is_known=True)
    usual = np.quantile(distances, USUAL, axis=0)
    if not np.all(usual > 0):
        return None
    limit = np.sort(np.max(distances / usual, axis=1))[rank - 1]
    return Neighbors(features[:count], (float(usual[0]), float(usual[1])), float(limit))


def _measure_distances(known: Features, features: Features, is_known: bool = False) -> npt.NDArray[np.float64]:
    """Returns the distance of each image to the fifth nearest known one, as features are and scaled, shape (images, 2).

    Args:
        known: Features of the known images.
        features: Features of the images.
        is_known: Whether the first images are the known ones, none of which is a neighbour of its own.
    """
    pairs = ((known, features), (_scale(known), _scale(features)))
    return np.stack([_measure_fifth(ones, others, is_known) for ones, others in pairs], axis=1)


def _scale(features: Features) -> Features:
    """Returns features of length 1."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, np.finfo(np.float32).tiny))


def _measure_fifth(known: Features, features: Features, is_known: bool) -> npt.NDArray[np.float64]:
    squares = (features**2).sum(axis=1)[:, None] + (known**2).sum(axis=1) - 2 * features @ known.T
    if is_known:
        np.fill_diagonal(squares, np.inf)
    fifth = np.partition(squares, NEAREST - 1, axis=1)[:, NEAREST - 1]
    distances: npt.NDArray[np.float64] = np.sqrt(np.maximum(fifth, 0.0)).astype(np.float64)
    return distances


def get_neighbors_path(model: Path) -> Path:
    """Returns the file of the images that a model knows: ``best.features.npz`` next to ``best.keras``."""
    return model.with_suffix(".features.npz")


def write_neighbors(model: Path, neighbors: Neighbors, fingerprint: str) -> None:
    """Writes the images that a model knows beside it.

    Args:
        model: The model's file.
        neighbors: The images.
        fingerprint: The hash of the model's file.
    """
    with replace_file(get_neighbors_path(model)) as new, new.open("wb") as file:
        np.savez(
            file,
            features=neighbors.features,
            usual=np.array(neighbors.usual),
            limit=np.array(neighbors.limit),
            model=np.array(fingerprint),
        )


def read_neighbors(model: Path, fingerprint: str) -> Neighbors | None:
    """Reads the images that a model knows; None if there are none, or they are another model's.

    Args:
        model: The model's file.
        fingerprint: The hash of that file.
    """
    path = get_neighbors_path(model)
    if not is_zipfile(path):
        return None
    try:
        with np.load(path) as file:
            if str(file["model"]) != fingerprint:
                return None
            return Neighbors(file["features"], tuple(file["usual"].tolist()), float(file["limit"]))
    except (OSError, ValueError, KeyError):  # a damaged file says nothing
        return None
