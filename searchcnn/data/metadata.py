"""What an image file holds besides its pixels: its orientation is read; whatever else is there does no harm."""

import contextlib
import logging
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from searchcnn.backend import silence_stderr

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

ORIENTATION = 0x0112
"""EXIF's key of the orientation, that is, of how the camera was held."""
PIXEL_TAGS = (
    frozenset(range(0x0100, 0x010E)) | frozenset(range(0x0111, 0x011A)) | {0x011C, 0x013D, 0x0140, 0x015B, 0xD7E9}
) | frozenset((*range(0x0142, 0x0146), 0x0152, 0x0153, *range(0x0200, 0x020A), 0x0211, 0x0212, 0x0213, 0x0214))
"""Keys in a TIFF's directory that its pixels and their arrangement depend on."""
VOID = b"\xff\xff"
"""A type of entry that does not exist: readers skip such entries."""
PNG_BEGIN, JPEG_BEGIN, TIFF_BEGINS = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", {b"II*\0": "<", b"MM\0*": ">"}
AVIF_MARK, AVIF_EXIF = b"ftyp", re.compile(b"(infe.{8})Exif", re.DOTALL)
PNG_METADATA = (b"tRNS", b"eXIf")
JPEG_EXIF, JPEG_ADOBE, JPEG_SCAN = 0xE1, 0xEE, 0xDA
ADOBE_SIZE = 14

Read = TypeVar("Read")


def read_tolerantly(read: Callable[[bytes], Read], content: bytes) -> Read:
    """Reads an image file; if that fails, tries again without most of its metadata.

    Raises:
        Exception: What was raised the first time.
    """
    try:
        return read(content)
    except Exception as error:
        with contextlib.suppress(Exception):  # decoders raise almost anything on a damaged file
            return read(strip_metadata(content))
        raise error


def strip_metadata(content: bytes) -> bytes:
    """Returns an image file with the same pixels, and only the metadata that says how they are arranged.

    Raises:
        ValueError: If nothing can be left out.
    """
    if content.startswith(PNG_BEGIN):
        return PNG_BEGIN + b"".join(_filter_png_chunks(content))
    if content.startswith(JPEG_BEGIN):
        return JPEG_BEGIN + b"".join(_filter_jpeg_segments(content))
    if content[:4] in TIFF_BEGINS:
        return keep_entries(content, PIXEL_TAGS)
    if content[4:8] == AVIF_MARK:
        return AVIF_EXIF.sub(rb"\1skip", content)
    raise ValueError("has no metadata that can be left out")


def read_orientation(image: "ImageFile") -> int:
    """Returns the orientation as EXIF counts it, from 1 (upright) to 8; 1, too, if it cannot be read.

    Args:
        image: An image file that has been opened; once it is loaded, a TIFF is upright, and its orientation 1.
    """
    for read in (_read_from_exif, _read_from_image):
        with contextlib.suppress(Exception):  # decoders raise almost anything on damaged metadata
            if (number := _parse_number(read(image))) in range(1, 9):
                return number
    return 1


@contextlib.contextmanager
def silence_pillow() -> Iterator[None]:
    """Keeps what Pillow and its decoders print off the terminal, even in threads that the body starts and waits for."""
    log, handler = logging.getLogger("PIL"), logging.NullHandler()
    log.addHandler(handler)
    try:
        with silence_stderr(show_failure=False), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    finally:
        log.removeHandler(handler)


def keep_entries(content: bytes, keys: Collection[int]) -> bytes:
    """Returns a TIFF file, or EXIF, whose first directory has only the entries with the given keys.

    Raises:
        Exception: If there is no such directory.
    """
    order = TIFF_BEGINS[content[:4]]
    (offset,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, offset)
    result = bytearray(content)
    for entry in range(offset + 2, min(offset + 2 + 12 * count, len(content) - 3), 12):
        if struct.unpack_from(f"{order}H", content, entry)[0] not in keys:
            result[entry + 2 : entry + 4] = VOID
    return bytes(result)


def _read_from_exif(image: "ImageFile") -> Any:
    """Reads only the entry that counts: an odd one before it would hide it."""
    from PIL.Image import Exif

    exif = Exif()
    content = image.info["exif"].removeprefix(b"Exif\0\0").removeprefix(b"Exif\0\0")
    exif.load(keep_entries(content, {ORIENTATION}))
    return exif[ORIENTATION]


def _read_from_image(image: "ImageFile") -> Any:
    """Reads what Pillow finds, which looks into a TIFF's directory and XMP as well."""
    return image.getexif()[ORIENTATION]


def _parse_number(value: Any) -> int:
    """Returns the number in an entry, which may be text or bytes; of several numbers, the first."""
    first = value[0] if isinstance(value, tuple | bytes) else value
    return int(chr(first)) if isinstance(value, bytes) and first > 8 else int(first)


def _keep_orientation(segment: bytes) -> bytes:
    """Returns a JPEG's EXIF segment with the orientation only, or unchanged if it holds no EXIF."""
    head, mark, exif = segment.partition(b"Exif\0\0")
    with contextlib.suppress(Exception):  # damaged, or XMP
        return head + mark + keep_entries(exif, {ORIENTATION})
    return segment


def _filter_png_chunks(content: bytes) -> Iterator[bytes]:
    start = len(PNG_BEGIN)
    while start + 12 <= len(content):
        (size,) = struct.unpack_from(">I", content, start)
        kind, end = content[start + 4 : start + 8], start + 12 + size
        is_whole = content[end - 4 : end] == zlib.crc32(content[start + 4 : end - 4]).to_bytes(4)
        if kind[:1].isupper() or (kind in PNG_METADATA and is_whole):
            yield content[start:end]
        start = end


def _filter_jpeg_segments(content: bytes) -> Iterator[bytes]:
    start = len(JPEG_BEGIN)
    while content[start + 1] != JPEG_SCAN:
        kind, size = struct.unpack_from(">xBH", content, start)
        end = start + 2 + size
        is_note = kind == 0xFE or 0xE0 <= kind <= 0xEF
        if kind == JPEG_EXIF:
            yield _keep_orientation(content[start:end])
        elif not is_note or (kind == JPEG_ADOBE and size >= ADOBE_SIZE):
            yield content[start:end]
        start = end
    yield content[start:]
