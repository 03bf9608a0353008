"""What is printed, in any encoding: characters that standard output and error lack are replaced by plain ones."""

import codecs
import contextlib
import io
import sys
import unicodedata
from collections.abc import Iterator

ERRORS = "searchcnn"
"""Name of the error handler that replaces characters."""
ASCII = "searchcnn_ascii"
"""Name of ASCII here: Click takes a stream in "ascii" for one that nobody has set up, and writes UTF-8 to it."""
PLAIN = str.maketrans(
    {
        **dict(zip("✓✗★≈×·•…□–—−‘’“”→←", "vx*~x-..?---''\"\"><", strict=True)),  # noqa: RUF001
        **dict(zip("▁▂▃▄▅▆▇█▏▎▍▌▋▊▉", "_.-:=+*#:::::::", strict=True)),
        **dict(zip("│┆─╭╮╰╯├┤┬┴┼", "||-+++++++++", strict=True)),
    }
)
"""Replacements that are as wide as what they replace, so that tables stay in line."""
BRAILLE = range(0x2801, 0x2900)
"""Characters that curves and spinners are drawn with."""


def adapt() -> None:
    """Makes standard output and error accept all characters, for the rest of the process."""
    for stream in _list_streams():
        stream.reconfigure(encoding=ASCII if _is_ascii(stream) else None, errors=ERRORS)


@contextlib.contextmanager
def adapted() -> Iterator[None]:
    """Makes standard output and error accept all characters while the body runs, in a process that is not ours."""
    before = [(stream, stream.encoding, stream.errors) for stream in _list_streams()]
    adapt()
    try:
        yield
    finally:
        for stream, encoding, errors in before:
            if not stream.closed:
                stream.reconfigure(encoding=encoding, errors=errors)


def write_utf8(names: tuple[str, ...] = ("stdout",)) -> None:
    """Makes streams write UTF-8, with lines ended as they are given: what is read by programs, whatever the locale.

    A terminal keeps its encoding.
    """
    for stream in _list_streams(names):
        if not stream.isatty():
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="")


def _list_streams(names: tuple[str, ...] = ("stdout", "stderr")) -> list[io.TextIOWrapper]:
    """Returns streams that have an encoding; others are of a test, a notebook or a program without a terminal."""
    streams = (getattr(sys, name) for name in names)
    return [stream for stream in streams if isinstance(stream, io.TextIOWrapper)]


def _is_ascii(stream: io.TextIOWrapper) -> bool:
    return codecs.lookup(stream.encoding).name == "ascii"


def _find_codec(name: str) -> codecs.CodecInfo | None:
    """Returns the codec of ASCII under its name here."""
    if name != ASCII:
        return None
    codec = codecs.lookup("ascii")
    return codecs.CodecInfo(
        codec.encode,
        codec.decode,
        codec.streamreader,
        codec.streamwriter,
        codec.incrementalencoder,
        codec.incrementaldecoder,
        name=ASCII,
    )


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Returns plain characters for some that cannot be encoded, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(make_plain, error.object[error.start : error.end])), error.end


def make_plain(character: str) -> str:
    """Returns a character of ASCII, or two, for one that is not.

    >>> [make_plain(character) for character in "★≈é█猫"]
    ['*', '~', 'e', '#', '??']
    """
    if ord(character) in BRAILLE:
        return "o"
    plain = character.translate(PLAIN)
    letter = unicodedata.normalize("NFKD", plain)[:1]
    return letter if letter.isascii() else "?" * (2 if unicodedata.east_asian_width(character) in "WF" else 1)


codecs.register(_find_codec)
codecs.register_error(ERRORS, _replace)
