"""Keeps decoded images on disk: they are decoded once; after that, all processes and studies map them."""

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from zipfile import BadZipFile

import psutil

from searchcnn.data.collection import FACTS, Collection
from searchcnn.files import guard_writing, locate_cache

VERSION = 3
"""Number of the format in which images are kept, and of the rules that sort them; it is part of each key."""
MAX_CACHE_BYTES = 50 * 2**30
"""Maximum number of bytes of all collections; the least recently used are deleted first."""


def load_or_make(name: str, key: str, make: Callable[[Path], None]) -> Collection:
    """Returns a collection from the cache.

    Args:
        name: The dataset's name, for people who look into the cache.
        key: Changes whenever the collection would.
        make: Saves the collection into an empty folder, if it is not in the cache.

    Raises:
        StoreError: If the disk is full or the cache cannot be written.
    """
    digest = hashlib.blake2b(f"{VERSION} {key}".encode(errors="surrogateescape"), digest_size=6).hexdigest()
    folder = locate_cache("images") / f"{re.sub(r'[^A-Za-z0-9_-]+', '-', name)[:40]}-{digest}"
    with guard_writing(folder):
        if (collection := _load(folder)) is None:
            _make(folder, make)
            collection = Collection.load(folder)
        os.utime(folder / FACTS)
    return collection


def _load(folder: Path) -> Collection | None:
    """Opens a collection; None if it is not there or damaged."""
    try:
        return Collection.load(folder)
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
        return None


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    new = folder.with_name(f".{os.getpid()}.{folder.name}")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        make(new)
        _make_room(folder.parent, _measure(new))
        try:
            new.rename(folder)
        except OSError:  # another process was faster, or what is there is damaged
            if _load(folder) is None:
                shutil.rmtree(folder)
                new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _make_room(folder: Path, size: int) -> None:
    for unfinished in folder.glob(".*.*"):
        process = unfinished.name.split(".")[1]
        if process.isdigit() and not psutil.pid_exists(int(process)):  # it was killed
            shutil.rmtree(unfinished, ignore_errors=True)
    files = sorted(folder.glob(f"[!.]*/{FACTS}"), key=lambda file: file.stat().st_mtime)
    total = sum(_measure(file.parent) for file in files)
    for file in files:
        if total + size <= MAX_CACHE_BYTES:
            return
        total -= _measure(file.parent)
        shutil.rmtree(file.parent, ignore_errors=True)


def _measure(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())
