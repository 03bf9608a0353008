"""Decodes labelled image files, in parallel, into pixels of one size on disk."""

import csv
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from searchcnn.data.collection import PIXELS, UNREADABLE, Collection, content_hash, prepared
from searchcnn.data.dataset import PARTS
from searchcnn.data.findings import Finding
from searchcnn.data.preparation import Picture, Preparation, choose_size, decode, look
from searchcnn.errors import DataError, make_printable
from searchcnn.study import DataConfig

SAMPLE = 1_000
"""Images, evenly taken from all, whose sizes decide on that of a network's images."""
CHUNK = 64
"""Images that a thread decodes before it asks for more."""
LARGEST_IMAGE = 512 * 2**20
"""Bytes of one image file, at most."""
AHEAD = 4
"""Chunks for each thread that may wait to be written."""

Read = TypeVar("Read")
Watch = Callable[[str, float], None]
"""Is told what is going on, and which part of it is done, 0..1; it may raise to stop."""


class ImageFile(NamedTuple):
    """An image file with a label.

    Attributes:
        place: Its name, for people.
        part: ``train``, ``validation`` or ``test``.
        class_name: Its class.
        read: Returns its content.
    """

    place: str
    part: str
    class_name: str
    read: Callable[[], bytes]


def content(path: Path) -> bytes:
    """Returns the content of an image file.

    Raises:
        ValueError: If it is no ordinary file, or larger than any image.
        OSError: If it cannot be read.
    """
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError("is no ordinary file")
    if facts.st_size > LARGEST_IMAGE:
        raise ValueError(f"has {facts.st_size / 2**20:,.0f} MiB, more than any image")
    return path.read_bytes()


def or_why(read: Callable[[], Read]) -> Read | str:
    """Returns what is read from an image file, or why it cannot be read."""
    try:
        return read()
    except (ValueError, OSError) as error:
        return str(getattr(error, "strerror", None) or error)


class _Decoded(NamedTuple):
    """Images of a chunk: what there is of each file, or why there is nothing."""

    pixels: list[npt.NDArray[np.uint8]]
    hashes: list[int]
    sizes: list[tuple[int, int]]
    modes: set[str]
    problems: list[str]


def decode_files(
    root: str, files: Sequence[ImageFile], findings: Sequence[Finding], config: DataConfig, folder: Path, watch: Watch
) -> None:
    """Decodes image files into a folder, as a `Collection`; those that cannot be read are left out and listed.

    Args:
        root: Where the files are, for messages.
        files: The files, in the order of the images.
        findings: What was odd where the files were found.
        config: How images become pixels of one size.
        folder: An empty folder.
        watch: Is told how far it is.

    Raises:
        DataError: If none of them is an image.
        OSError: If the folder cannot be written.
    """
    preparation = _choose(root, files, config)
    chunks = _decode(files, preparation, folder, watch)
    if config.channels == "auto" and preparation.channels == 1 and any("RGB" in chunk.modes for chunk in chunks):
        preparation = replace(preparation, channels=3)
        chunks = _decode(files, preparation, folder, watch)
    problems = [problem for chunk in chunks for problem in chunk.problems]
    good = [number for number, problem in enumerate(problems) if not problem]
    if not good:
        raise DataError(f"{root}: none of {len(files):,} files can be read, as {files[0].place}: {problems[0]}")
    class_names = tuple(sorted({file.class_name for file in files}))
    labels = {name: label for label, name in enumerate(class_names)}
    Collection(
        np.memmap(folder / PIXELS, np.uint8, "r", shape=(len(good), *preparation.shape)),
        np.array([labels[files[number].class_name] for number in good], np.int64),
        np.array([PARTS.index(files[number].part) for number in good], np.int8),
        np.array([hash for chunk in chunks for hash in chunk.hashes], np.uint64),
        np.array([size for chunk in chunks for size in chunk.sizes], np.int32),
        [make_printable(files[number].place) for number in good],
        class_names,
        preparation,
        tuple(findings),
        len(files) - len(good),
    ).save(folder)
    with (folder / UNREADABLE).open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file).writerows((one.place, why) for one, why in zip(files, problems, strict=True) if why)


def _choose(root: str, files: Sequence[ImageFile], config: DataConfig) -> Preparation:
    """Returns how images become pixels of one size: what the study says, and what the images say where it does not.

    Raises:
        DataError: If none of a sample of them is an image.
    """
    step = max(1, len(files) // SAMPLE)
    looks = [found for file in files[::step] if (found := _look(file))]
    if not looks and len(files) > step:
        looks = [found for file in files if (found := _look(file))]
    if not looks:
        why = or_why(partial(_picture, files[0]))
        raise DataError(f"{root}: none of {len(files):,} files can be read, as {files[0].place}: {why}")
    channels = 3 if any(is_coloured for _, is_coloured in looks) else 1
    return prepared(config, choose_size([size for size, _ in looks]), channels)


def _look(file: ImageFile) -> tuple[tuple[int, int], bool] | None:
    """Returns the height and width of an image and whether it has colours; None if it is none."""
    try:
        return look(file.read())
    except Exception:  # decoders raise almost anything on a damaged file
        return None


def _decode(files: Sequence[ImageFile], preparation: Preparation, folder: Path, watch: Watch) -> list[_Decoded]:
    """Writes the pixels of all images one after the other, and returns the rest."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    chunks = (files[start : start + CHUNK] for start in range(0, len(files), CHUNK))
    found = []
    with ThreadPoolExecutor(threads) as pool, (folder / PIXELS).open("wb") as written:
        jobs = (pool.submit(_decode_chunk, chunk, preparation) for chunk in chunks)
        for done, chunk in enumerate(_results(jobs, AHEAD * threads), 1):
            written.writelines(pixels.data for pixels in chunk.pixels)
            found.append(chunk._replace(pixels=[]))
            watch("decoding images", min(1.0, done * CHUNK / len(files)))
    return found


def _results(jobs: Iterable["Future[_Decoded]"], ahead: int) -> Iterator[_Decoded]:
    """Yields the results of jobs in their order; only so many are begun ahead."""
    waiting: deque[Future[_Decoded]] = deque()
    for job in jobs:
        waiting.append(job)
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _decode_chunk(files: Sequence[ImageFile], preparation: Preparation) -> _Decoded:
    decoded = _Decoded([], [], [], set(), [])
    for file in files:
        found = or_why(partial(_picture, file, (preparation.height, preparation.width)))
        decoded.problems.append(found if isinstance(found, str) else "")
        if isinstance(found, str):
            continue
        pixels = np.ascontiguousarray(preparation.pixels(found.image))
        decoded.pixels.append(pixels)
        decoded.hashes.append(content_hash(pixels))
        decoded.sizes.append(found.size)
        decoded.modes.add(found.image.mode)
    return decoded


def _picture(file: ImageFile, least: tuple[int, int] | None = None) -> Picture:
    return decode(file.read(), least)
