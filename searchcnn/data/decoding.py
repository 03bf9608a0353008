"""Decodes labelled image files, in parallel, into pixels of one size on disk."""

import csv
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from searchcnn.backend import count_cpus
from searchcnn.data.collection import PIXELS, UNREADABLE, hash_pixels, make_preparation, write_rows
from searchcnn.data.dataset import PARTS
from searchcnn.data.findings import Finding
from searchcnn.data.near_copies import Thumbnail, group_copies, make_thumbnail
from searchcnn.data.preparation import DecodedImage, Preparation, choose_size, decode, probe
from searchcnn.errors import DataError, make_printable
from searchcnn.events import Hear, Progress
from searchcnn.study import DataConfig

SAMPLED_SIZES = 1_000
"""Number of images, evenly spaced, whose sizes determine the size of a network's images."""
CHUNK = 64
"""Number of images that a thread decodes before it asks for more."""
MAX_IMAGE_BYTES = 512 * 2**20
"""Maximum number of bytes of an image file."""
CHUNKS_AHEAD = 4
"""Maximum number of chunks per thread that wait to be written."""

Read = TypeVar("Read")


class ImageFile(NamedTuple):
    """An image file with a label.

    Attributes:
        name: What people call it.
        part: ``train``, ``validation`` or ``test``.
        class_name: Its class.
        read: Returns its content.
    """

    name: str
    part: str
    class_name: str
    read: Callable[[], bytes]


def read_file(path: Path) -> bytes:
    """Returns the content of an image file.

    Raises:
        ValueError: If it is not an ordinary file, or larger than any image.
        OSError: If it cannot be read.
    """
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise ValueError("is not an ordinary file")
    if facts.st_size > MAX_IMAGE_BYTES:
        raise ValueError(f"has {facts.st_size / 2**20:,.0f} MiB, more than any image")
    return path.read_bytes()


def try_reading(read: Callable[[], Read]) -> Read | str:
    """Returns what is read from an image file, or why it cannot be read."""
    try:
        return read()
    except (ValueError, OSError) as error:
        return str(getattr(error, "strerror", None) or error)


class _Chunk(NamedTuple):
    """The decoded images of a chunk of files; of every file, why it cannot be read, or an empty text."""

    pixels: list[npt.NDArray[np.uint8]]
    hashes: list[int]
    thumbnails: list[Thumbnail | None]
    sizes: list[tuple[int, int]]
    modes: set[str]
    problems: list[str]


def decode_files(
    root: str, files: Sequence[ImageFile], findings: Sequence[Finding], config: DataConfig, folder: Path, hear: Hear
) -> None:
    """Decodes image files into a folder, as a `Collection`; files that cannot be read are left out and listed.

    Args:
        root: Where the files are, for messages.
        files: The files, in the order of the images.
        findings: What was odd where the files were found.
        config: How images become pixels of one size.
        folder: An empty folder.
        hear: Hears how far it is.

    Raises:
        DataError: If none of them is an image.
        OSError: If the folder cannot be written.
    """
    preparation = _choose_preparation(root, files, config)
    chunks = _write_pixels(files, preparation, folder, hear)
    if config.channels == "auto" and preparation.channels == 1 and any("RGB" in chunk.modes for chunk in chunks):
        preparation = replace(preparation, channels=3)
        chunks = _write_pixels(files, preparation, folder, hear)
    problems = [problem for chunk in chunks for problem in chunk.problems]
    images = [file for file, problem in zip(files, problems, strict=True) if not problem]
    if not images:
        raise _explain_unreadable(root, files, problems[0])
    class_names = tuple(sorted({file.class_name for file in files}))
    labels = {name: label for label, name in enumerate(class_names)}
    hashes = np.array([hash for chunk in chunks for hash in chunk.hashes], np.uint64)
    columns: Mapping[str, Any] = {
        "labels": np.array([labels[file.class_name] for file in images], np.int64),
        "parts": np.array([PARTS.index(file.part) for file in images], np.int8),
        "hashes": hashes,
        "copies": group_copies(hashes, [image for chunk in chunks for image in chunk.thumbnails]),
        "sizes": np.array([size for chunk in chunks for size in chunk.sizes], np.int32),
    }
    names = [make_printable(file.name) for file in images]
    write_rows(folder, columns, names, class_names, preparation, findings, unreadable=len(files) - len(images))
    with (folder / UNREADABLE).open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file).writerows((file.name, why) for file, why in zip(files, problems, strict=True) if why)


def _explain_unreadable(root: str, files: Sequence[ImageFile], problem: str) -> DataError:
    return DataError(f"{root}: none of {len(files):,} files can be read, for example {files[0].name}: {problem}")


def _choose_preparation(root: str, files: Sequence[ImageFile], config: DataConfig) -> Preparation:
    """Returns how images become pixels of one size: as the study says, or else as suits the images.

    Raises:
        DataError: If none of them is an image.
    """
    step = max(1, len(files) // SAMPLED_SIZES)
    headers = [header for file in files[::step] if (header := _probe_file(file))]
    if not headers and len(files) > step:
        headers = [header for file in files if (header := _probe_file(file))]
    if not headers:
        raise _explain_unreadable(root, files, str(try_reading(partial(_decode_file, files[0]))))
    channels = 3 if any(is_coloured for _, is_coloured in headers) else 1
    return make_preparation(config, choose_size([size for size, _ in headers]), channels)


def _probe_file(file: ImageFile) -> tuple[tuple[int, int], bool] | None:
    """Returns the height and width of an image and whether it has colours; None if it is not an image."""
    try:
        return probe(file.read())
    except Exception:  # decoders raise almost anything on a damaged file
        return None


def _write_pixels(files: Sequence[ImageFile], preparation: Preparation, folder: Path, hear: Hear) -> list[_Chunk]:
    """Writes the pixels of all images one after the other; returns everything else."""
    threads = count_cpus()
    chunks = (files[start : start + CHUNK] for start in range(0, len(files), CHUNK))
    results = []
    with ThreadPoolExecutor(threads) as pool, (folder / PIXELS).open("wb") as output:
        jobs = (pool.submit(_decode_chunk, chunk, preparation) for chunk in chunks)
        for number, result in enumerate(_await_in_order(jobs, CHUNKS_AHEAD * threads), 1):
            output.writelines(pixels.data for pixels in result.pixels)
            results.append(result._replace(pixels=[]))
            hear(Progress("decoding images", min(1.0, number * CHUNK / len(files))))
    return results


def _await_in_order(jobs: Iterable["Future[_Chunk]"], ahead: int) -> Iterator[_Chunk]:
    """Yields the results of jobs in their order; at most ``ahead`` of them are started in advance."""
    waiting: deque[Future[_Chunk]] = deque()
    for job in jobs:
        waiting.append(job)
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _decode_chunk(files: Sequence[ImageFile], preparation: Preparation) -> _Chunk:
    chunk = _Chunk([], [], [], [], set(), [])
    for file in files:
        result = try_reading(partial(_decode_file, file, (preparation.height, preparation.width)))
        if isinstance(result, str):
            chunk.problems.append(result)
            continue
        pixels = np.ascontiguousarray(preparation.apply(result.image))
        chunk.problems.append("")
        chunk.pixels.append(pixels)
        chunk.hashes.append(hash_pixels(pixels))
        chunk.thumbnails.append(make_thumbnail(pixels, result.size))
        chunk.sizes.append(result.size)
        chunk.modes.add(result.image.mode)
    return chunk


def _decode_file(file: ImageFile, target: tuple[int, int] | None = None) -> DecodedImage:
    return decode(file.read(), target)
