"""Lists the image files in a tar or zip archive.

Nothing is unpacked under its own name, so an archive cannot write to any place it chooses. The images of a compressed
archive are written one after the other into a single file of ours, from which they are decoded in parallel.
"""

import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, NamedTuple

from searchcnn.data.decoding import MAX_IMAGE_BYTES, ImageFile
from searchcnn.errors import DataError
from searchcnn.events import Hear, Progress
from searchcnn.sources.layout import Layout, arrange, is_image
from searchcnn.sources.reading import FIX, explain_errors

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".zip")
MIB, GIB = 2**20, 2**30
MAX_ARCHIVE_BYTES = 64 * GIB
"""Maximum number of bytes of the image files in an archive."""
MAX_RATIO = 200
"""An archive that holds more than this many times its own bytes is a decompression bomb; photos hardly shrink."""
HARMLESS_BYTES = GIB
"""Bytes that an archive may hold whatever the ratio."""
UNPACKED = "archive.bin"


class _Member(NamedTuple):
    """An entry of an archive.

    Attributes:
        name: Its path, with ``/``.
        size: Number of bytes, as the archive says; -1 for a folder.
        open: Opens it.
        offset: Where its bytes start in the archive, if they are not compressed.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes] | None]
    offset: int | None = None


def holds(path: Path) -> bool:
    """Whether a file is an archive, judging by its name."""
    return path.is_file() and path.name.lower().endswith(ARCHIVE_SUFFIXES)


def list_images(path: Path, folder: Path, hear: Hear) -> tuple[list[ImageFile], Layout]:
    """Lists the images of an archive, sorted into folders by class, and by part if there are parts.

    Args:
        path: The archive.
        folder: Folder for the bytes of compressed images, which are written into one file.
        hear: Hears how far it is.

    Raises:
        DataError: If the archive is damaged, unsafe, too large or sorted in another way.
        OSError: If the folder cannot be written.
    """
    unpacked = folder / UNPACKED
    slices, others, folders = _unpack(path, unpacked, hear)
    layout = arrange(str(path), [*slices, *others], folders)
    source = unpacked if unpacked.exists() else path
    files = [ImageFile(*image, partial(_read_slice, source, *slices[image.path])) for image in layout.images]
    return files, layout


def _unpack(path: Path, target: Path, hear: Hear) -> tuple[dict[str, tuple[int, int]], list[str], list[str]]:
    """Returns offset and size of each image, in the target or, if there is none, in the archive.

    Also returns the names of other files and of folders.
    """
    slices: dict[str, tuple[int, int]] = {}
    others: list[str] = []
    folders: list[str] = []
    total = path.stat().st_size
    with explain_errors(path, "an archive of images in folders", FIX), path.open("rb") as raw:
        for member in _check_members(path, raw):
            if member.size < 0:
                folders.append(member.name)
            elif not is_image(member.name):
                others.append(member.name)
            elif member.offset is not None:
                slices[member.name] = member.offset, member.size
            else:
                slices[member.name] = _append(member, target), member.size
                hear(Progress(f"unpacking {path.name}", raw.tell() / total))
    return slices, others, folders


def _check_members(path: Path, raw: IO[bytes]) -> Iterator[_Member]:
    """Yields the members of an archive; raises an error if one is unsafe or they are too large."""
    total = 0
    for member in _list_zip(raw) if path.suffix.lower() == ".zip" else _list_tar(raw):
        _check_name(path, member.name)
        if is_image(member.name):
            total += max(0, member.size)
            _check_size(path, member, total)
        yield member


def _list_zip(raw: IO[bytes]) -> Iterator[_Member]:
    with zipfile.ZipFile(raw) as archive:
        for member in archive.infolist():
            if stat.S_ISLNK(member.external_attr >> 16):
                raise ValueError(f"{member.filename} is a link")
            size = -1 if member.is_dir() else member.file_size
            yield _Member(member.filename.rstrip("/"), size, partial(archive.open, member))


def _list_tar(raw: IO[bytes]) -> Iterator[_Member]:
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
    if member.size > MAX_IMAGE_BYTES:
        raise DataError(
            f"{path}: {member.name} has {member.size / MIB:,.0f} MiB, expected images of at most "
            f"{MAX_IMAGE_BYTES // MIB} MiB; check that it is an image"
        )
    if total > MAX_ARCHIVE_BYTES:
        raise DataError(
            f"{path}: holds more than {MAX_ARCHIVE_BYTES // GIB} GiB of image files; unpack it into a folder"
        )
    if total > max(HARMLESS_BYTES, MAX_RATIO * path.stat().st_size):
        raise DataError(
            f"{path}: holds more than {MAX_RATIO} times its own size, a decompression bomb; do not trust this archive"
        )


def _append(member: _Member, target: Path) -> int:
    """Appends the bytes of a member to a file, at most as many as it declares; returns their offset."""
    content = member.open()
    assert content is not None, "only a link or a folder has no content"
    with closing(content), target.open("ab") as file:
        offset, remaining = file.tell(), member.size
        while remaining and (block := content.read(min(remaining, MIB))):
            remaining -= file.write(block)
    if remaining:
        raise ValueError(f"{member.name} is cut off")
    return offset


def delete_unpacked(folder: Path) -> None:
    """Deletes the unpacked bytes of compressed images, once they are decoded."""
    (folder / UNPACKED).unlink(missing_ok=True)


def _read_slice(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def _check_end(archive: tarfile.TarFile) -> None:
    """Raises an error if an archive is cut off or damaged between two members: `tarfile` takes that for its end."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise ValueError(f"cut off or damaged {archive.offset:,} bytes after its beginning")
