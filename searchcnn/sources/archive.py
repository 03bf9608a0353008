"""Lists the image files in a tar or zip archive.

Nothing is unpacked under its own name: what lies in an archive can be written nowhere. The images of a compressed one
are written one after the other into a single file of ours, from which they are decoded in parallel.
"""

import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, NamedTuple

from searchcnn.data.decoding import LARGEST_IMAGE, ImageFile
from searchcnn.errors import DataError
from searchcnn.events import Hear, Progress
from searchcnn.sources.layout import Layout, arrange, is_image
from searchcnn.sources.reading import MEND, reading

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".zip")
MIB, GIB = 2**20, 2**30
LARGEST = 64 * GIB
"""Bytes of image files in one archive, at most."""
MOST_RATIO = 200
"""What holds more than this many times its own bytes is a decompression bomb; photos shrink by a few percent."""
SMALL = GIB
"""Bytes that an archive may hold whatever their ratio."""
UNPACKED = "archive.bin"


class _Member(NamedTuple):
    """An entry of an archive.

    Attributes:
        name: Its path, with ``/``.
        size: Bytes, as the archive says; -1 for a folder.
        open: Opens it.
        offset: Where its bytes lie in the archive, if they lie there as they are.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes] | None]
    offset: int | None = None


def holds(path: Path) -> bool:
    """Whether a file is an archive, by its name."""
    return path.is_file() and path.name.lower().endswith(SUFFIXES)


def list_images(path: Path, folder: Path, hear: Hear) -> tuple[list[ImageFile], Layout]:
    """Lists the images of an archive, sorted into folders by class, and by part if there are parts.

    Args:
        path: The archive.
        folder: Where the bytes of compressed images are written, into one file.
        hear: Hears how far it is.

    Raises:
        DataError: If the archive is damaged, unsafe, too large or sorted in another way.
        OSError: If the folder cannot be written.
    """
    unpacked = folder / UNPACKED
    places, others, folders = _unpack(path, unpacked, hear)
    layout = arrange(str(path), [*places, *others], folders)
    source = unpacked if unpacked.exists() else path
    files = [
        ImageFile(place.path, place.part, place.class_name, partial(_slice, source, *places[place.path]))
        for place in layout.places
    ]
    return files, layout


def _unpack(path: Path, target: Path, hear: Hear) -> tuple[dict[str, tuple[int, int]], list[str], list[str]]:
    """Returns where the bytes of each image lie, offset and size, in the target or, if there is none, in the archive.

    The names of other files and of the folders come beside.
    """
    places: dict[str, tuple[int, int]] = {}
    others: list[str] = []
    folders: list[str] = []
    whole = path.stat().st_size
    with reading(path, "an archive of images in folders", MEND), path.open("rb") as raw:
        for member in _safe_members(path, raw):
            if member.size < 0:
                folders.append(member.name)
            elif not is_image(member.name):
                others.append(member.name)
            elif member.offset is not None:
                places[member.name] = member.offset, member.size
            else:
                places[member.name] = _append(member, target), member.size
                hear(Progress(f"unpacking {path.name}", raw.tell() / whole))
    return places, others, folders


def _safe_members(path: Path, raw: IO[bytes]) -> Iterator[_Member]:
    """Yields what is in an archive that is neither a trap nor too large."""
    total = 0
    for member in _zip_members(raw) if path.suffix.lower() == ".zip" else _tar_members(raw):
        _check_name(path, member.name)
        if is_image(member.name):
            total += max(0, member.size)
            _check_size(path, member, total)
        yield member


def _zip_members(raw: IO[bytes]) -> Iterator[_Member]:
    with zipfile.ZipFile(raw) as archive:
        for member in archive.infolist():
            if stat.S_ISLNK(member.external_attr >> 16):
                raise ValueError(f"{member.filename} is a link")
            size = -1 if member.is_dir() else member.file_size
            yield _Member(member.filename.rstrip("/"), size, partial(archive.open, member))


def _tar_members(raw: IO[bytes]) -> Iterator[_Member]:
    with tarfile.open(fileobj=raw) as archive:
        is_plain = archive.fileobj is raw
        for member in archive:
            if not (member.isfile() or member.isdir()) or member.issparse():
                raise ValueError(f"{member.name} is neither a file nor a folder")
            size, offset = -1 if member.isdir() else member.size, member.offset_data if is_plain else None
            yield _Member(member.name, size, partial(archive.extractfile, member), offset)
        _check_end(archive)


def _check_name(path: Path, name: str) -> None:
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or PureWindowsPath(name).drive:
        raise DataError(f"{path}: holds '{name}', a path that leads out of it; do not trust this archive")


def _check_size(path: Path, member: _Member, total: int) -> None:
    if member.size > LARGEST_IMAGE:
        raise DataError(
            f"{path}: {member.name} has {member.size / MIB:,.0f} MiB, expected images of at most "
            f"{LARGEST_IMAGE // MIB} MiB; is it one?"
        )
    if total > LARGEST:
        raise DataError(f"{path}: holds more than {LARGEST // GIB} GiB of image files; unpack it into a folder")
    if total > max(SMALL, MOST_RATIO * path.stat().st_size):
        raise DataError(
            f"{path}: holds more than {MOST_RATIO} times its own size, a decompression bomb; do not trust this archive"
        )


def _append(member: _Member, target: Path) -> int:
    """Writes the bytes of a member, and not one more than it says it has, to the end of a file; returns the place."""
    content = member.open()
    assert content is not None, "only a link or a folder has no content"
    with closing(content), target.open("ab") as file:
        place, left = file.tell(), member.size
        while left and (block := content.read(min(left, MIB))):
            left -= file.write(block)
    if left:
        raise ValueError(f"{member.name} is cut off")
    return place


def tidy(folder: Path) -> None:
    """Deletes the bytes of compressed images, once they are decoded."""
    (folder / UNPACKED).unlink(missing_ok=True)


def _slice(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def _check_end(archive: tarfile.TarFile) -> None:
    """Finds an archive that is cut off or damaged between two members: to `tarfile`, that is an ordinary end."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise ValueError(f"cut off or damaged {archive.offset:,} bytes after its beginning")
