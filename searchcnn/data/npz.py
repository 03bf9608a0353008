"""Reads a dataset from one NumPy archive."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from searchcnn.data.dataset import Undivided
from searchcnn.data.reading import checked_split, reading

KEYS = ("x_train", "y_train", "x_test", "y_test")


def find(folder: Path, name: str) -> Path | None:
    """Returns the archive of a dataset, or None."""
    path = folder / f"{name}.npz"
    return path if path.is_file() else None


def read(path: Path, name: str) -> Undivided:
    """Reads an archive of four arrays; nothing in it is ever executed.

    Raises:
        DataError: If it is damaged or does not hold images and labels.
    """
    with reading(path, f"a NumPy archive of images and labels: {', '.join(KEYS)}"):
        x_train, y_train, x_test, y_test = _arrays(path)
        return Undivided(checked_split(x_train, y_train), checked_split(x_test, y_test))


def _arrays(path: Path) -> list[npt.NDArray[np.generic]]:
    with path.open("rb") as file:  # NumPy leaves a file open that it cannot read
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("a single array")
        if missing := [key for key in KEYS if key not in archive]:
            raise ValueError(f"without {', '.join(missing)}")
        return [archive[key] for key in KEYS]
