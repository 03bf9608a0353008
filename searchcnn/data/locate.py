"""Finds the files of a dataset."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from searchcnn.data import archive, cifar, idx, image_folder, npz
from searchcnn.data.builtin import BUILTIN
from searchcnn.data.dataset import Undivided
from searchcnn.data.places import folders, own_folder


class Format(NamedTuple):
    """A way in which datasets are kept in files.

    Attributes:
        find: Returns the path of a dataset, by its name, in a folder, or None.
        read: Reads the dataset, by its name, from that path.
    """

    find: Callable[[Path, str], Path | None]
    read: Callable[[Path, str], Undivided]


_OPEN_FORMATS = (
    Format(image_folder.find, image_folder.read),
    Format(npz.find, npz.read),
    Format(archive.find, archive.read),
)
_FORMATS = (Format(idx.find, idx.read), Format(cifar.find, cifar.read), *_OPEN_FORMATS)


@dataclass(frozen=True)
class Location:
    """A dataset in files.

    Attributes:
        name: The dataset's name.
        path: Its file or folder.
        format: How it is kept there.
    """

    name: str
    path: Path
    format: Format

    def read(self) -> Undivided:
        """Reads the images.

        Raises:
            DataError: If a file is damaged or is not what its name says.
        """
        return self.format.read(self.path, self.name)


def locate(name: str) -> Location | None:
    """Finds a dataset; one that is not built in can only lie in ``SEARCHCNN_DATA``."""
    if Path(name).name != name:  # a path would leave the folders
        return None
    if name in BUILTIN:
        return _first(name, list(folders().values()), _FORMATS)
    own = own_folder()
    return _first(name, [own], _OPEN_FORMATS) if own else None


def own_names() -> list[str]:
    """Returns the names of the datasets in ``SEARCHCNN_DATA`` that are not built in."""
    own = own_folder()
    names = {_name(path.name) for path in own.iterdir() if path.name not in cifar.ARCHIVES} if own else set()
    return sorted(name for name in names if name not in BUILTIN and locate(name))


def _name(file: str) -> str:
    """Returns the name of the dataset that a file or folder of that name could hold."""
    ending = next((suffix for suffix in (".npz", *archive.SUFFIXES) if file.endswith(suffix)), "")
    return file.removesuffix(ending)


def _first(name: str, places: list[Path], formats: tuple[Format, ...]) -> Location | None:
    for folder in places:
        for format in formats:
            if (path := _find(format, folder, name)) is not None:
                return Location(name, path, format)
    return None


def _find(format: Format, folder: Path, name: str) -> Path | None:
    try:
        return format.find(folder, name)
    except PermissionError:  # another user's folder holds nothing for us
        return None
