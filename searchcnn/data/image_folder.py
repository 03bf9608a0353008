"""Lists the image files in a folder that are sorted into folders by class, and by part if there are parts."""

import os
from collections.abc import Iterator
from pathlib import Path

from searchcnn.data.image_files import ImageFile, Watch
from searchcnn.data.layout import Layout, arrange
from searchcnn.data.reading import reading
from searchcnn.files import stamp


def holds(path: Path) -> bool:
    """Whether a path is a folder."""
    return path.is_dir()


def list_images(folder: Path, _to: Path, _watch: Watch) -> tuple[list[ImageFile], Layout]:
    """Lists the images below a folder.

    Raises:
        DataError: If there are none, or they are sorted in another way.
    """
    entries = _entries(folder)
    files = [entry.path for entry in entries if not entry.is_dir()]
    folders = [entry.path for entry in entries if entry.is_dir()]
    layout = arrange(str(folder), *([_below(folder, path) for path in paths] for paths in (files, folders)))
    found = [
        ImageFile(place.path, place.part, place.class_name, (folder / place.path).read_bytes) for place in layout.places
    ]
    return found, layout


def signature(folder: Path) -> str:
    """Returns a text that changes when a file or folder below a folder is added, removed or written."""
    return "\n".join(sorted(stamp(Path(entry.path)) for entry in _entries(folder)))


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    with reading(folder, "a folder of images", "change who may read it"):
        return list(walk(folder))


def walk(folder: Path, above: tuple[str, ...] = ()) -> Iterator["os.DirEntry[str]"]:
    """Yields all files and folders below a folder, except hidden ones; a link to a folder above is not followed."""
    place = os.path.realpath(folder)
    if place in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield entry
                yield from walk(Path(entry.path), (*above, place))
            elif entry.is_file() or not Path(entry.path).exists():  # a broken link, which is named as unreadable
                yield entry


def _below(folder: Path, path: str) -> str:
    return os.path.relpath(path, folder).replace(os.sep, "/")
