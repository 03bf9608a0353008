"""Reads image files that are sorted into folders inside one tar or zip archive.

Nothing is unpacked: no member of an archive can be written anywhere.
"""

import re
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from searchcnn.data.dataset import Undivided
from searchcnn.data.image_files import PARTS, Files, is_image, read_images
from searchcnn.data.reading import reading
from searchcnn.errors import DataError

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".zip")
GIB = 2**30
LARGEST = 8 * GIB
"""Bytes of image files in one archive, at most; as pixels in memory they are several times as many."""

PLACE = re.compile(rf"(\./)?(?:(?P<top>[^/]+)/)?(?P<part>{'|'.join(PARTS)})/(?P<class_name>[^/]+)/(?P<file>[^/]*)")
"""Where an image lies; a folder's name ends in ``/``."""


class _Member(NamedTuple):
    name: str
    size: int
    read: Callable[[], bytes]


def find(folder: Path, name: str) -> Path | None:
    """Returns the archive of a dataset's images, or None."""
    paths = (folder / f"{name}{suffix}" for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def read(path: Path, name: str) -> Undivided:
    """Reads all images in ``train/<class>/`` and ``test/<class>/``, at the top of the archive or in one folder there.

    Raises:
        DataError: If the archive is damaged, too large or sorted in another way, or for what is wrong with an image.
    """
    members = _zip_members if path.suffix == ".zip" else _tar_members
    with reading(path, "an archive of train/<class>/<image> and test/<class>/<image>"):
        parts = _sorted(path, members(path))
    return read_images(path, parts)


def _sorted(path: Path, members: Iterable[_Member]) -> dict[str, Files]:
    """Returns the content of the image files by part, class and name."""
    parts: dict[str, dict[str, dict[str, Path | bytes]]] = defaultdict(lambda: defaultdict(dict))
    tops: set[str] = set()
    size = 0
    for member in members:
        if (place := PLACE.fullmatch(member.name)) is None:
            continue
        files = parts[place["part"]][place["class_name"]]
        if is_image(place["file"]):
            tops.add(place["top"] or ".")
            size += member.size
            _check(path, tops, size)
            files[place["file"]] = member.read()
    return {part: dict(files) for part, files in parts.items()}


def _check(path: Path, tops: set[str], size: int) -> None:
    if len(tops) > 1:
        raise DataError(f"{path}: holds images in {' and in '.join(sorted(tops))}; expected one dataset: leave one out")
    if size > LARGEST:
        raise DataError(f"{path}: holds more than {LARGEST // GIB} GiB of image files; unpack it into a folder")


def _zip_members(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            yield _Member(member.filename, member.file_size, partial(archive.read, member))


def _tar_members(path: Path) -> Iterator[_Member]:
    with tarfile.open(path) as archive:
        for member in archive:
            if not (member.isfile() or member.isdir()):
                raise ValueError(f"{member.name} is neither a file nor a folder")
            name = f"{member.name}/" if member.isdir() else member.name
            yield _Member(name, member.size, partial(_content, archive, member))
        _check_end(archive)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None, "only a link or a folder has no content"
    return file.read()


def _check_end(archive: tarfile.TarFile) -> None:
    """Finds an archive that is cut off or damaged between two members: to `tarfile`, that is an ordinary end."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise ValueError(f"cut off or damaged {archive.offset:,} bytes after its beginning")
