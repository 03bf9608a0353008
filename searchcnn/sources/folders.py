"""The folders in which datasets are looked for."""

import os
from pathlib import Path

from searchcnn.backend import locate_keras_home
from searchcnn.errors import DataError
from searchcnn.files import locate_cache

VARIABLE = "SEARCHCNN_DATA"
SYSTEM_FOLDER = Path("/usr/share/datasets")
"""Where Debian's packages put datasets."""


def list_folders() -> dict[str, Path]:
    """Returns the folders by their description, in the order in which they are searched.

    Raises:
        DataError: If ``SEARCHCNN_DATA`` is not a folder.
    """
    own = find_own_folder()
    return {
        **({f"${VARIABLE}": own} if own else {}),
        "Keras' cache": find_keras_cache(),
        "the system's datasets": SYSTEM_FOLDER,
        "searchcnn's cache": locate_cache("datasets"),
    }


def find_own_folder() -> Path | None:
    """Returns the user's folder of datasets, ``SEARCHCNN_DATA``, or None if it is not set.

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


def find_keras_cache() -> Path:
    """Returns the folder that Keras downloads datasets into."""
    return locate_keras_home() / "datasets"
