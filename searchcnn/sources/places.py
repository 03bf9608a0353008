"""The folders in which datasets are looked for."""

import os
from pathlib import Path

from searchcnn.backend import locate_keras_home
from searchcnn.errors import DataError
from searchcnn.files import locate_cache

VARIABLE = "SEARCHCNN_DATA"
SYSTEM = Path("/usr/share/datasets")
"""Where Debian's packages put datasets."""


def folders() -> dict[str, Path]:
    """Returns the folders in the order they are searched, by what they are.

    Raises:
        DataError: If ``SEARCHCNN_DATA`` names no folder.
    """
    own = own_folder()
    return {
        **({f"${VARIABLE}": own} if own else {}),
        "Keras' cache": keras_cache(),
        "the system's datasets": SYSTEM,
        "searchcnn's cache": locate_cache("datasets"),
    }


def own_folder() -> Path | None:
    """Returns the user's folder of datasets, ``SEARCHCNN_DATA``, or None when it is not set.

    Raises:
        DataError: If it is set to anything but a folder.
    """
    if not (value := os.environ.get(VARIABLE)):
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise DataError(
            f"{VARIABLE}={value}: no such folder; set it to the folder that holds your datasets, or unset it"
        )
    return folder


def keras_cache() -> Path:
    """Returns the folder that Keras downloads datasets into."""
    return locate_keras_home() / "datasets"
