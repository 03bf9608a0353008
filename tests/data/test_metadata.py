"""What a file holds besides its pixels never costs the pixels, and its orientation is used if it can be read."""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, features

from searchcnn.data.metadata import silence_pillow
from searchcnn.data.preparation import decode, probe
from searchcnn.events import ignore
from searchcnn.sources.source import collect
from searchcnn.study import DataConfig

STORED = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
ORIENTATION, SHORT = 0x0112, 3
TURNED = (ORIENTATION, SHORT, 1, struct.pack("<H", 6))
BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 99: 1}
"""Of a value of each of EXIF's types; 99 is none of them."""

Entry = tuple[int, int, int, bytes]
"""Key, type, number of values, and their bytes."""


def directory(*entries: Entry) -> bytes:
    """Returns a TIFF header and one directory, little endian."""
    offset = 8 + 2 + 12 * len(entries) + 4
    body, behind = b"", b""
    for key, kind, count, value in sorted(entries):
        at = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", offset + len(behind))
        body += struct.pack("<HHI", key, kind, count) + at
        behind += value if len(value) > 4 else b""
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + body + bytes(4) + behind


def encoded(format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(STORED).save(file, format, **options)
    return file.getvalue()


JPEG, PNG = encoded("JPEG", quality=95), encoded("PNG")


def segment(kind: int, content: bytes) -> bytes:
    return JPEG[:2] + struct.pack(">BBH", 0xFF, kind, len(content) + 2) + content + JPEG[2:]


def jpeg(exif: bytes) -> bytes:
    return segment(0xE1, b"Exif\0\0" + exif)


def chunk(kind: bytes, content: bytes, is_last: bool = False) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    start = PNG.index(b"IEND" if is_last else b"IDAT") - 4
    return PNG[:start] + struct.pack(">I", len(content)) + kind + content + check + PNG[start:]


def png(exif: bytes) -> bytes:
    return chunk(b"eXIf", exif)


def webp(exif: bytes) -> bytes:
    return encoded("WEBP", lossless=True, exif=b"Exif\0\0" + exif)


def tiff(entries: Sequence[Entry]) -> bytes:
    short = [(256, 12), (257, 8), (258, 8), (259, 1), (262, 2), (277, 3), (278, 8)]
    own = [(key, SHORT, 1, struct.pack("<H", value)) for key, value in short]
    strips = (279, 4, 1, struct.pack("<I", STORED.size))
    start = len(directory(*entries, *own, strips, strips))
    return directory(*entries, *own, strips, (273, 4, 1, struct.pack("<I", start))) + STORED.tobytes()


def is_turned(content: bytes) -> bool:
    """Whether a file is shown turned by a quarter, rather than as its pixels are stored."""
    with silence_pillow():
        decoded, probed = decode(content), probe(content)
    plain = Image.open(io.BytesIO(JPEG)) if content.startswith(JPEG[:2]) else Image.fromarray(STORED)
    turned = decoded.image.tobytes() == plain.transpose(Image.Transpose.ROTATE_270).tobytes()
    assert turned or decoded.image.tobytes() == plain.tobytes()
    assert decoded.size == probed[0] == ((12, 8) if turned else (8, 12))
    return turned


ODD: dict[str, Entry] = {
    "resolution as text": (0x011A, 2, 4, b"abc\0"),
    "two resolutions": (0x011A, 5, 2, struct.pack("<4I", 72, 1, 72, 1)),
    "resolution not a number": (0x011A, 11, 1, struct.pack("<f", float("nan"))),
    "resolution of 0 / 0": (0x011A, 5, 1, bytes(8)),
    "compression as a byte": (0xC000, 1, 1, b"\1"),
    "a short as a byte": (0x0128, 1, 1, b"\1"),
    "GPS behind the end": (0x8825, 4, 1, struct.pack("<I", 900_000)),
    "EXIF before the beginning": (0x8769, 9, 1, struct.pack("<i", -5)),
    "a negative one": (0x9204, 10, 1, struct.pack("<2i", -(2**31), 1)),
    "an unknown type": (0x9999, 99, 1, b"abcd"),
    "a description that is cut off, before": (0x010E, 2, 60, b"\x50\0\0\0"),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_a_turned_photo_with_an_odd_entry(odd: Entry) -> None:
    exif = directory(TURNED, odd)
    for content in (jpeg(exif), png(exif), webp(exif), tiff([TURNED, odd])):
        assert is_turned(content)


@pytest.mark.parametrize(
    ("kind", "count", "value", "turned"),
    [
        (2, 2, b"6\0", True),
        (SHORT, 2, struct.pack("<2H", 6, 6), True),
        (4, 1, struct.pack("<I", 6), True),
        (5, 1, struct.pack("<2I", 6, 1), True),
        (1, 1, b"\6", True),
        (7, 1, b"6", True),
        (SHORT, 1, struct.pack("<H", 0), False),
        (SHORT, 1, struct.pack("<H", 99), False),
        (8, 1, struct.pack("<h", -6), False),
        (2, 9, b"Rotate 90", False),
        (5, 1, bytes(8), False),
        (11, 1, struct.pack("<f", float("nan")), False),
        (99, 1, b"\6", False),
    ],
)
def test_odd_words_for_how_the_camera_was_held(kind: int, count: int, value: bytes, turned: bool) -> None:
    entry = (ORIENTATION, kind, count, value)
    exif = directory(entry)
    for content in (jpeg(exif), png(exif), webp(exif), tiff([entry])):
        assert is_turned(content) == turned


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize(
    "content",
    [
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
        chunk(b"eXIf", directory(TURNED), is_last=True),
        jpeg(b"Exif\0\0" + directory(TURNED)),
        tiff([(700, 7, len(XMP), XMP)]),
    ],
    ids=["XMP in a JPEG", "XMP in a PNG", "EXIF behind the pixels", "EXIF marked twice", "XMP in a TIFF"],
)
def test_where_else_it_is_said(content: bytes) -> None:
    assert is_turned(content)


BIG = zlib.compress(b"a" * 3_000_000)
DAMAGED: dict[str, bytes] = {
    "no TIFF in EXIF": jpeg(b"garbage, no TIFF"),
    "EXIF cut off": jpeg(directory(TURNED)[:12]),
    "EXIF empty": jpeg(b""),
    "a directory behind the end": jpeg(b"II*\0" + struct.pack("<I", 999_999)),
    "Photoshop": segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\x10abc"),
    "MPO": segment(0xE2, b"MPF\0garbage"),
    "MPO of text": segment(0xE2, b"MPF\0" + directory((0xB001, 2, 2, b"2\0"), (0xB002, 7, 32, b"a" * 32))),
    "ICC profile of a JPEG": segment(0xE2, b"ICC_PROFILE\0"),
    "JFIF": segment(0xE0, b"JFIF"),
    "Adobe": segment(0xEE, b"Adobe"),
    "ICC profile of a PNG": chunk(b"iCCP", b"p\0\5garbage"),
    "ICC profile too large": chunk(b"iCCP", b"p\0\0" + BIG),
    "text too large": chunk(b"zTXt", b"k\0\0" + BIG),
    "text too large, behind": chunk(b"iTXt", b"k\0\1\0\0\0" + BIG, is_last=True),
    "EXIF of a PNG": png(b"garbage"),
    "EXIF as text": chunk(b"tEXt", b"Raw profile type exif\0\nexif\n  xx\nzz"),
    "resolution": chunk(b"pHYs", b"a"),
    "gamma": chunk(b"gAMA", b""),
    "colours": chunk(b"cHRM", b"abc"),
    "animation": chunk(b"acTL", b"\0\0"),
    "sum of a text": chunk(b"tEXt", b"a\0b").replace(b"a\0b", b"a\0c"),
    "EXIF of a WebP": webp(b"garbage"),
    "a page behind": PNG + b"<html>",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_metadata(content: bytes) -> None:
    assert not is_turned(content)


@pytest.mark.skipif(not features.check("avif"), reason="needs a Pillow that reads AVIF")
def test_damaged_metadata_of_an_avif() -> None:
    content = encoded("AVIF", quality=100, exif=b"Exif\0\0" + directory(TURNED, (0x010F, 2, 4, b"abc\0")))
    assert decode(content).size == decode(content.replace(b"II*\0", b"XX*\0")).size == (12, 8)


def test_a_palette_with_transparency_keeps_its_white_ground() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    file = io.BytesIO()
    image.save(file, "PNG", transparency=b"\xff\0", exif=b"Exif\0\0" + directory(TURNED, ODD["resolution as text"]))
    assert np.asarray(decode(file.getvalue()).image).tolist() == [[[255, 0, 0]], [[255, 255, 255]]]


KEYS = st.sampled_from([0x010E, 0x010F, 0x0110, 0x011A, 0x0128, 0x0132, 0x8769, 0x8825, 0x9C9B, 0x8649, 0x02BC, 0x014A])
ENTRIES = st.builds(
    lambda key, kind, count, byte: (key, kind, count, byte * (BYTES[kind] * min(count, 99))),
    *(KEYS, st.sampled_from(sorted(BYTES)), st.sampled_from([0, 1, 2, 3, 99, 5_000, 2**32 - 1])),
    st.binary(min_size=1, max_size=1),
)


@given(st.lists(ENTRIES, max_size=4))
@example([(0x011A, 1, 1, b"\0"), (0x0128, 1, 1, b"\0")])  # a resolution that Pillow cannot divide by
def test_whatever_is_in_a_directory(entries: list[Entry]) -> None:
    exif = directory(TURNED, *entries)
    for content in (jpeg(exif), png(exif), webp(exif), tiff([TURNED, *entries])):
        assert is_turned(content)


def test_nothing_is_lost_or_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    contents = {
        **{f"odd{number}.jpg": jpeg(directory(TURNED, odd)) for number, odd in enumerate(ODD.values())},
        **{f"damaged{number}.jpg": content for number, content in enumerate(DAMAGED.values())},
    }
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for file, content in contents.items():
            (tmp_path / "pets" / name / file).write_bytes(content)
    noise = bytearray(encoded("TIFF", compression="tiff_lzw"))
    noise[20:60] = b"\xff" * 40  # libtiff writes to the terminal of its own accord
    (tmp_path / "pets" / "cat" / "noise.tif").write_bytes(noise)
    collection, _ = collect(DataConfig(path=str(tmp_path / "pets")), ignore)
    assert (len(collection), collection.unreadable) == (2 * len(contents), 1)
    assert capfd.readouterr() == ("", "")
