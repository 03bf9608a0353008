"""What an image file says beside its pixels: how the camera was held is read; whatever else is there spoils nothing."""

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
"""EXIF's key of how the camera was held."""
PIXEL_TAGS = (
    frozenset(range(0x0100, 0x010E)) | frozenset(range(0x0111, 0x011A)) | {0x011C, 0x013D, 0x0140, 0x015B, 0xD7E9}
) | frozenset((*range(0x0142, 0x0146), 0x0152, 0x0153, *range(0x0200, 0x020A), 0x0211, 0x0212, 0x0213, 0x0214))
"""Keys of a TIFF's directory that its pixels, and how they lie, depend on."""
VOID = b"\xff\xff"
"""A type of entries that does not exist: readers skip them."""
PNG_BEGIN, JPEG_BEGIN, TIFF_BEGINS = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", {b"II*\0": "<", b"MM\0*": ">"}
AVIF_MARK, AVIF_EXIF = b"ftyp", re.compile(b"(infe.{8})Exif", re.DOTALL)
PNG_KEPT = (b"tRNS", b"eXIf")
JPEG_EXIF, JPEG_ADOBE, JPEG_SCAN = 0xE1, 0xEE, 0xDA
ADOBE_SIZE = 14

Read = TypeVar("Read")


def read_tolerantly(read: Callable[[bytes], Read], content: bytes) -> Read:
    """Reads an image file; if it cannot be read, once more without most of its metadata.

    Raises:
        Exception: What was raised the first time.
    """
    try:
        return read(content)
    except Exception as error:
        with contextlib.suppress(Exception):  # decoders raise almost anything on a damaged file
            return read(without_metadata(content))
        raise error


def without_metadata(content: bytes) -> bytes:
    """Returns an image file that shows the same pixels, with only that metadata that says how they lie.

    Raises:
        ValueError: If nothing can be left out.
    """
    if content.startswith(PNG_BEGIN):
        return PNG_BEGIN + b"".join(_png_chunks(content))
    if content.startswith(JPEG_BEGIN):
        return JPEG_BEGIN + b"".join(_jpeg_segments(content))
    if content[:4] in TIFF_BEGINS:
        return voided(content, PIXEL_TAGS)
    if content[4:8] == AVIF_MARK:
        return AVIF_EXIF.sub(rb"\1skip", content)
    raise ValueError("has no metadata that can be left out")


def orientation(image: "ImageFile") -> int:
    """Returns how the camera was held, as EXIF counts: 1, upright, to 8; it is 1, too, where that cannot be read.

    Args:
        image: An image file that has been opened; a TIFF's is upright, and says so, once it is loaded.
    """
    for read in (_of_exif, _of_file):
        with contextlib.suppress(Exception):  # decoders raise almost anything on damaged metadata
            if (number := _number(read(image))) in range(1, 9):
                return number
    return 1


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what Pillow and its decoders say from the terminal, also in threads that the body starts and waits for."""
    log, handler = logging.getLogger("PIL"), logging.NullHandler()
    log.addHandler(handler)
    try:
        with silence_stderr(show_failure=False), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    finally:
        log.removeHandler(handler)


def voided(content: bytes, kept: Collection[int]) -> bytes:
    """Returns a TIFF file, or EXIF, whose first directory has only the entries with some keys.

    Raises:
        Exception: If there is no such directory.
    """
    order = TIFF_BEGINS[content[:4]]
    (place,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, place)
    changed = bytearray(content)
    for entry in range(place + 2, min(place + 2 + 12 * count, len(content) - 3), 12):
        if struct.unpack_from(f"{order}H", content, entry)[0] not in kept:
            changed[entry + 2 : entry + 4] = VOID
    return bytes(changed)


def _of_exif(image: "ImageFile") -> Any:
    """Reads the one entry that counts: an odd one before it would hide it."""
    from PIL.Image import Exif

    exif = Exif()
    plain = image.info["exif"].removeprefix(b"Exif\0\0").removeprefix(b"Exif\0\0")
    exif.load(voided(plain, {ORIENTATION}))
    return exif[ORIENTATION]


def _of_file(image: "ImageFile") -> Any:
    """Reads what Pillow finds, also in a TIFF's directory and in XMP."""
    return image.getexif()[ORIENTATION]


def _number(value: Any) -> int:
    """Returns the number that an entry means: of several the first, also of text or bytes."""
    first = value[0] if isinstance(value, tuple | bytes) else value
    return int(chr(first)) if isinstance(value, bytes) and first > 8 else int(first)


def _only_orientation(segment: bytes) -> bytes:
    """Returns a JPEG's segment of EXIF with one entry only; as it is where there is none."""
    head, mark, exif = segment.partition(b"Exif\0\0")
    with contextlib.suppress(Exception):  # damaged, or XMP
        return head + mark + voided(exif, {ORIENTATION})
    return segment


def _png_chunks(content: bytes) -> Iterator[bytes]:
    place = len(PNG_BEGIN)
    while place + 12 <= len(content):
        (size,) = struct.unpack_from(">I", content, place)
        kind, end = content[place + 4 : place + 8], place + 12 + size
        is_whole = content[end - 4 : end] == zlib.crc32(content[place + 4 : end - 4]).to_bytes(4)
        if kind[:1].isupper() or (kind in PNG_KEPT and is_whole):
            yield content[place:end]
        place = end


def _jpeg_segments(content: bytes) -> Iterator[bytes]:
    place = len(JPEG_BEGIN)
    while content[place + 1] != JPEG_SCAN:
        kind, size = struct.unpack_from(">xBH", content, place)
        end = place + 2 + size
        is_note = kind == 0xFE or 0xE0 <= kind <= 0xEF
        if kind == JPEG_EXIF:
            yield _only_orientation(content[place:end])
        elif not is_note or (kind == JPEG_ADOBE and size >= ADOBE_SIZE):
            yield content[place:end]
        place = end
    yield content[place:]
