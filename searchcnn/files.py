"""Files that are replaced in one step: a reader sees the old one or the new one, never a part."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a file to write, which takes its name when the body ends, and goes when it fails.

    Args:
        path: The file; its folder is made where it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield new
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
