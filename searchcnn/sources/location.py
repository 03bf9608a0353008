"""Finds the files of a dataset by its name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from searchcnn.data.dataset import Arrays
from searchcnn.sources import archive, cifar, idx, table
from searchcnn.sources.builtin import BUILTIN
from searchcnn.sources.folders import find_own_folder, list_folders


@dataclass(frozen=True)
class Location:
    """A dataset in files.

    Attributes:
        path: Its file or folder.
        read: Reads it, if its files are as they were published; None if it is a folder, archive or table of images.
    """

    path: Path
    read: Callable[[], Arrays] | None = None


def locate(name: str) -> Location | None:
    """Finds a dataset; one that is not built in can only be in ``SEARCHCNN_DATA``."""
    if Path(name).name != name:  # a path would leave the folders
        return None
    folders = list_folders().values() if name in BUILTIN else filter(None, [find_own_folder()])
    return next((location for folder in folders if (location := _search(folder, name)) is not None), None)


def list_own_names() -> list[str]:
    """Returns the names of the datasets in ``SEARCHCNN_DATA`` that are not built in."""
    folder = find_own_folder()
    paths = [path for path in folder.iterdir() if path.name not in cifar.ARCHIVES] if folder else []
    names = {_strip_suffix(path.name) for path in paths}
    return sorted(name for name in names if name not in BUILTIN and locate(name))


def _search(folder: Path, name: str) -> Location | None:
    try:
        for published in (idx, cifar):
            if path := published.find(folder, name):
                return Location(path, partial(published.read, path, name))
        if _is_sorted(folder / name):
            return Location(folder / name)
        files = (folder / f"{name}{suffix}" for suffix in (".npz", *archive.ARCHIVE_SUFFIXES, *table.TABLE_SUFFIXES))
        return next((Location(file) for file in files if file.is_file()), None)
    except PermissionError:  # another user's folder holds nothing for us
        return None


def _is_sorted(folder: Path) -> bool:
    """Whether a folder has folders in it."""
    return folder.is_dir() and any(path.is_dir() and not path.name.startswith(".") for path in folder.iterdir())


def _strip_suffix(file: str) -> str:
    """Returns the name of the dataset that a file or folder could hold."""
    suffixes = (".npz", *archive.ARCHIVE_SUFFIXES, *table.TABLE_SUFFIXES)
    return file.removesuffix(next((suffix for suffix in suffixes if file.endswith(suffix)), ""))
