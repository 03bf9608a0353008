"""Reads a dataset from one NumPy archive; nothing in it is ever executed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from searchcnn.data.dataset import Arrays
from searchcnn.sources.objects import ARRAY_NAMES, from_named_arrays
from searchcnn.sources.reading import FIX, explain_errors


def holds(path: Path) -> bool:
    """Whether a file is a NumPy archive, judging by its name."""
    return path.is_file() and path.suffix.lower() == ".npz"


def read(path: Path) -> Arrays:
    """Reads images and labels: ``x_train`` and ``y_train``, ``train_images`` and ``train_labels``, or ``x`` and ``y``.

    Raises:
        DataError: If it is damaged or does not hold images and labels.
    """
    with explain_errors(path, f"a NumPy archive of images and labels, such as {ARRAY_NAMES}", FIX):
        return from_named_arrays(_load_arrays(path))


def _load_arrays(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:  # NumPy does not close a file that it cannot read
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("a single array")
        return {key: archive[key] for key in archive.files}
