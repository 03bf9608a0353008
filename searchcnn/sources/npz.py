"""A dataset in one NumPy archive, of which nothing is ever executed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from searchcnn.data.dataset import Arrays
from searchcnn.errors import DataError, UsageError
from searchcnn.files import guard_writing, replace_file
from searchcnn.sources.objects import ARRAY_NAMES, from_named_arrays, from_object
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


def save_object(data: Any, file: Path, replaces: bool) -> None:
    """Writes images and labels to a file, unless it holds them already.

    Args:
        data: The images and labels; see `searchcnn.sources.objects`.
        file: The file.
        replaces: Whether others that it holds are replaced.

    Raises:
        DataError: If they are not images and labels.
        UsageError: If the file holds others, which are not replaced.
        StoreError: If it cannot be written.
    """
    try:
        arrays = _name_arrays(from_object(data))
    except ValueError as error:
        raise DataError(f"data: {error}") from error
    if file.exists() and _holds(file, arrays):
        return
    if file.exists() and not replaces:
        raise UsageError(f"{file} holds other images; give the new study another name, or delete the old one")
    with guard_writing(file), replace_file(file) as new:
        np.savez(new, **arrays)


def _name_arrays(arrays: Arrays) -> dict[str, Any]:
    pairs = ((part, split.images, split.labels) for part, split in arrays.parts.items())
    values = {key: value for part, x, y in pairs for key, value in ((f"x_{part}", x), (f"y_{part}", y))}
    return values if arrays.class_names is None else {**values, "class_names": np.array(arrays.class_names)}


def _holds(file: Path, arrays: Mapping[str, Any]) -> bool:
    with np.load(file) as archive:
        return set(archive.files) == set(arrays) and all(
            np.array_equal(archive[key], arrays[key]) for key in archive.files
        )
