"""The kinds of files that a model is exported to, one file each; a new one is a further entry of `FORMATS`."""

from pathlib import Path

from searchcnn.errors import UsageError
from searchcnn.results.formats.format import Format
from searchcnn.results.formats.keras_file import KERAS

FORMATS = (KERAS,)
"""All formats."""

__all__ = ["FORMATS", "KERAS", "Format", "find_format"]


def find_format(path: Path) -> Format:
    """Returns the format that the name of a file says.

    Raises:
        UsageError: If it says none.
    """
    for format in FORMATS:
        if path.suffix == format.suffix:
            return format
    names = " or ".join(f"{format.title} must end in {format.suffix}" for format in FORMATS)
    raise UsageError(f"{path}: the name of {names}, such as {path.stem}{FORMATS[0].suffix}")
