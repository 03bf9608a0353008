"""Lists the image files in a folder that are sorted into folders by class, and by part if there are parts."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from searchcnn.data.decoding import ImageFile, Watch, content
from searchcnn.files import read_change_marker
from searchcnn.sources.layout import Layout, arrange
from searchcnn.sources.reading import MEND, reading


def holds(path: Path) -> bool:
    """Whether a path is a folder."""
    return path.is_dir()


def list_images(folder: Path, _to: Path, _watch: Watch) -> tuple[list[ImageFile], Layout]:
    """Lists the images below a folder.

    Raises:
        DataError: If there are none, or they are sorted in another way.
    """
    entries = list_entries(folder)
    files = [entry.path for entry in entries if not _is_folder(entry)]
    folders = [entry.path for entry in entries if _is_folder(entry)]
    layout = arrange(str(folder), *([_below(folder, path) for path in paths] for paths in (files, folders)))
    found = [ImageFile(*place, partial(content, folder / place.path)) for place in layout.places]
    return found, layout


def signature(folder: Path) -> str:
    """Returns a text that changes when a file or folder below a folder is added, removed or written."""
    return "\n".join(sorted(read_change_marker(Path(entry.path)) for entry in list_entries(folder)))


def list_entries(folder: Path) -> list["os.DirEntry[str]"]:
    """Lists all files and folders below a folder, except hidden ones; links are followed, but not round in circles.

    Raises:
        DataError: If one of the folders may not be read.
    """
    with reading(folder, "a folder of images", MEND):
        return list(_walk(folder))


def _walk(folder: Path, above: tuple[str, ...] = ()) -> Iterator["os.DirEntry[str]"]:
    place = os.path.realpath(folder)
    if place in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            yield entry
            if _is_folder(entry):
                yield from _walk(Path(entry.path), (*above, place))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, say: it is named as an unreadable file
        return False


def _below(folder: Path, path: str) -> str:
    return os.path.relpath(path, folder).replace(os.sep, "/")
