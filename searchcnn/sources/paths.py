"""Finds the files that a table names: with backslashes, as ids without an ending, or in a folder beside the table."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath

from searchcnn.data.findings import Finding
from searchcnn.data.formats import IMAGE_SUFFIXES
from searchcnn.errors import DataError
from searchcnn.text import format_count

PROBED = 20
"""Number of paths that are looked for in the folders beside a table."""


def find_files(table: Path, names: Sequence[str]) -> tuple[list[str], list[Finding]]:
    """Returns the paths of a table as they are on this system, relative to its folder, and how they were found.

    Args:
        table: The table.
        names: What it names; an empty text for nothing. What cannot be found stays as it is.

    Raises:
        DataError: If they may begin at several folders.
    """
    finder = _Finder(table.parent)
    start = _find_start(table, [name for name in names if name], finder)
    found = [finder.find(start + name) if name else name for name in names]
    changed = [(name, file) for name, file in zip(names, found, strict=True) if file != name]
    if not changed:
        return found, []
    what = f"{format_count(len(changed), 'path')} of the table {'is' if len(changed) == 1 else 'are'} matched to files"
    return found, [Finding("note", what, "{} is {}".format(*changed[0]))]


def check_files(table: Path, names: Sequence[str]) -> None:
    """Checks that some of the files that a table names are there.

    Raises:
        DataError: If none is.
    """
    if not any(_is_there(table.parent / name) for name in names):
        is_foreign = PureWindowsPath(names[0]).drive or PurePosixPath(names[0]).is_absolute()
        hint = "these are of another computer" if is_foreign else "or move the table to the folder that they begin at"
        raise DataError(
            f"{table}: none of its files is there, for example {names[0]}; write paths from the table's folder on, "
            f"{hint}"
        )


class _Finder:
    """Finds files below a folder.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._list_images = cache(_list_images)

    def find(self, name: str) -> str:
        """Returns the path of a file that exists, or else the name as it is."""
        is_image = PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
        if is_image and "\\" not in name:  # the usual case asks the disk for nothing
            return name
        if _is_there(self._folder / name):
            return name
        path = name.replace("\\", "/") if os.sep == "/" else name
        if _is_there(self._folder / path):
            return path
        parent, _, stem = path.rpartition("/")
        files = self._list_images(self._folder / parent).get(stem, ())
        return f"{parent}/{files[0]}".removeprefix("/") if len(files) == 1 and not is_image else name

    def holds(self, name: str) -> bool:
        """Whether a file can be found."""
        return _is_there(self._folder / self.find(name))


def _is_there(path: Path) -> bool:
    """Whether a path exists and is no folder, which an id may name, too."""
    try:
        return path.exists() and not path.is_dir()
    except (OSError, ValueError):  # no file can have such a name
        return False


def _list_images(folder: Path) -> Mapping[str, Sequence[str]]:
    """Returns the names of the images in a folder by what they are without their ending."""
    images = defaultdict[str, list[str]](list)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in IMAGE_SUFFIXES:
            images[path.stem].append(path.name)
    return images


def _find_start(table: Path, names: Sequence[str], finder: _Finder) -> str:
    """Returns what is before each path: nothing, or a folder beside the table that holds its files.

    Raises:
        DataError: If several folders do.
    """
    if any(map(finder.holds, names)):
        return ""
    folders = [path.name for path in sorted(table.parent.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    holding = [folder for folder in folders if any(finder.holds(f"{folder}/{name}") for name in names[:PROBED])]
    if table.stem in holding:
        return f"{table.stem}/"
    if len(holding) > 1:
        raise DataError(
            f"{table}: {names[0]} is in the folders {' and '.join(holding)}; write paths from the table's folder on, "
            f"such as {holding[0]}/{names[0]}"
        )
    return f"{holding[0]}/" if holding else ""
