"""Lists the image files in a folder, sorted into folders by class, and by part if there are parts."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from searchcnn.data.decoding import ImageFile, read_file
from searchcnn.events import Hear
from searchcnn.files import read_change_marker
from searchcnn.sources.layout import Layout, arrange
from searchcnn.sources.reading import FIX, explain_errors


def holds(path: Path) -> bool:
    """Whether a path is a folder."""
    return path.is_dir()


def list_images(folder: Path, _target: Path, _hear: Hear) -> tuple[list[ImageFile], Layout]:
    """Lists the images below a folder.

    Raises:
        DataError: If there are none, or they are sorted in another way.
    """
    entries = list_entries(folder)
    files = [entry.path for entry in entries if not _is_folder(entry)]
    folders = [entry.path for entry in entries if _is_folder(entry)]
    layout = arrange(str(folder), *([_make_relative(folder, path) for path in paths] for paths in (files, folders)))
    return [ImageFile(*image, partial(read_file, folder / image.path)) for image in layout.images], layout


def compute_signature(folder: Path) -> str:
    """Returns a text that changes when a file or folder below a folder is added, removed or written."""
    return "\n".join(sorted(read_change_marker(Path(entry.path)) for entry in list_entries(folder)))


def list_entries(folder: Path) -> list["os.DirEntry[str]"]:
    """Lists all files and folders below a folder, except hidden ones; links are followed, but not in circles.

    Raises:
        DataError: If one of the folders cannot be read.
    """
    with explain_errors(folder, "a folder of images", FIX):
        return list(_walk(folder))


def _walk(folder: Path, above: tuple[str, ...] = ()) -> Iterator["os.DirEntry[str]"]:
    real_path = os.path.realpath(folder)
    if real_path in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            yield entry
            if _is_folder(entry):
                yield from _walk(Path(entry.path), (*above, real_path))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself: it is listed as an unreadable file
        return False


def _make_relative(folder: Path, path: str) -> str:
    return os.path.relpath(path, folder).replace(os.sep, "/")
