"""Keeps decoded images on disk: they are decoded once, and mapped by all processes and studies after that."""

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

LAYOUT = 2
"""Number of the form in which images are kept, and of the rules that sort them; another one is another key."""
LIMIT = 50 * 2**30
"""Bytes of all collections; those that were not used for longest go first."""


def cached(name: str, key: str, make: Callable[[Path], None]) -> Collection:
    """Returns a collection from the cache.

    Args:
        name: The dataset's name, for people who look into the cache.
        key: Changes whenever the collection would.
        make: Called with an empty folder to save the collection into, if it is not there.

    Raises:
        StoreError: If the disk is full or the cache cannot be written.
    """
    digest = hashlib.blake2b(f"{LAYOUT} {key}".encode(errors="surrogateescape"), digest_size=6).hexdigest()
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
        _make_room(folder.parent, _size(new))
        try:
            new.rename(folder)
        except OSError:  # another process was quicker, or what is there is damaged
            if _load(folder) is None:
                shutil.rmtree(folder)
                new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _make_room(folder: Path, size: int) -> None:
    for left in folder.glob(".*.*"):
        process = left.name.split(".")[1]
        if process.isdigit() and not psutil.pid_exists(int(process)):  # a killed process has left it half made
            shutil.rmtree(left, ignore_errors=True)
    kept = sorted(folder.glob(f"[!.]*/{FACTS}"), key=lambda facts: facts.stat().st_mtime)
    taken = sum(_size(facts.parent) for facts in kept)
    for facts in kept:
        if taken + size <= LIMIT:
            return
        taken -= _size(facts.parent)
        shutil.rmtree(facts.parent, ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())
