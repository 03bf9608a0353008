"""Files that are replaced in one step, and what users are told when a disk refuses them."""

import codecs
import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

import platformdirs

from searchcnn.errors import StoreError, get_message

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of the errors of a disk that is full, or of which a user or a process may have no more."""

REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Numbers of the errors of what a process may not read or write."""

HALF_WRITTEN = re.compile(r"^\.\d+\.")
"""What the name of a file that is being written begins with: the number of the process."""


UNSAFE = re.compile(r'[/\\:*?"<>|\x00-\x1f]+')
"""What the name of a file must not hold on some systems."""

LONGEST = 60
"""Characters of a name that are kept."""


def clean_name(name: str) -> str:
    """Returns a text as a file or folder can be called on any system.

    >>> clean_name("cats/dogs: *"), clean_name("..")
    ('cats_dogs_ _', '_')
    """
    return UNSAFE.sub("_", name)[-LONGEST:].strip(" .") or "_"


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yields a file to write, which takes its name when the body ends, and goes when it fails.

    A reader sees the old one or the new one, never a part.

    Args:
        path: The file; its folder is made where it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{os.getpid()}.{path.name}")  # see HALF_WRITTEN
    try:
        yield new
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def discard(folder: Path, names: Collection[str]) -> None:
    """Deletes files of a folder, and what killed processes have left of them half written.

    Args:
        folder: The folder, which may be missing.
        names: The files' names; those that are not there do not matter.
    """
    for file in folder.glob("*"):
        if HALF_WRITTEN.sub("", file.name) in names:
            file.unlink(missing_ok=True)


@contextlib.contextmanager
def guard_writing(path: Path) -> Iterator[None]:
    """Turns what a disk refuses in the body into one line for the user.

    Args:
        path: What the body writes.

    Raises:
        StoreError: If the disk is full, or the file or its folder cannot be written for another reason.
    """
    try:
        yield
    except OSError as error:
        raise explain_refusal(f"{path}: cannot be written", error) from error


def check_writable(folder: Path) -> None:
    """Checks that files can be written into a folder, which is made where it is missing.

    Raises:
        StoreError: If they cannot.
    """
    with guard_writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass


def locate_cache(kind: str) -> Path:
    """Returns the folder for what searchcnn itself has fetched or computed, such as "datasets" or "features"."""
    return platformdirs.user_cache_path("searchcnn") / kind


def read_text(path: Path) -> str:
    """Returns the content of a text file of a user's: UTF-8, or UTF-16 if its byte order mark says so.

    Notepad and Excel write such a mark, and PowerShell writes UTF-16.

    Raises:
        UnicodeDecodeError: If it is another text, or none.
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        is_utf16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return path.read_text(encoding="utf-16" if is_utf16 else "utf-8-sig")


def read_change_marker(path: Path) -> str:
    """Returns a text that changes with a file, missing or not, and with who may read it: its path, size and times."""
    try:
        facts = path.stat()
    except (OSError, ValueError):  # of a name that no file can have
        return f"{path} missing"
    return f"{path} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}"


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk is full."""
    return isinstance(error, OSError) and error.errno in FULL


def explain_refusal(what: str, error: OSError) -> StoreError:
    """Returns the one-line form of what a disk raised.

    >>> str(explain_refusal("x: cannot be written", OSError(errno.ENOSPC, "No space left")))
    'x: cannot be written: No space left; free some space, then run the same command: what was finished is safe'

    Args:
        what: What happened.
        error: The error.
    """
    reason = error.strerror or get_message(error)
    remedy = "free some space" if is_full(error) else "make it writable"
    return StoreError(f"{what}: {reason}; {remedy}, then run the same command: what was finished is safe")
