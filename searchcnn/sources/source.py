"""Reads the images of a study from wherever they are."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from searchcnn.data.cache import load_or_make
from searchcnn.data.collection import Collection, from_arrays
from searchcnn.data.dataset import Arrays
from searchcnn.data.decoding import ImageFile, decode_files
from searchcnn.data.metadata import silence_pillow
from searchcnn.errors import DataError, nearest
from searchcnn.events import Hear
from searchcnn.files import read_change_marker
from searchcnn.sources import archive, digits, image_folder, npz, objects, table
from searchcnn.sources.builtin import BUILTIN, BUILTIN_NAMES
from searchcnn.sources.downloads import download
from searchcnn.sources.folders import VARIABLE
from searchcnn.sources.layout import Layout
from searchcnn.sources.location import list_own_names, locate
from searchcnn.sources.reading import FIX, explain_errors
from searchcnn.study import DataConfig

EXPECTED = "a folder, an archive (.zip, .tar, .tar.gz, .tar.xz), a table (.csv, .parquet) or a NumPy archive (.npz)"


class Container(NamedTuple):
    """A kind of file or folder that holds image files.

    Attributes:
        holds: Whether a path is of this kind.
        list_images: Lists the image files; it may write what they are read from into the folder.
        compute_signature: Returns a text that changes when one of them does.
    """

    holds: Callable[[Path], bool]
    list_images: Callable[[Path, Path, Hear], tuple[list[ImageFile], Layout]]
    compute_signature: Callable[[Path], str]


CONTAINERS = (
    Container(archive.holds, archive.list_images, read_change_marker),
    Container(table.holds, table.list_images, table.compute_signature),
    Container(image_folder.holds, image_folder.list_images, image_folder.compute_signature),
)


def collect(config: DataConfig, hear: Hear) -> tuple[Collection, str]:
    """Reads all images of a study's dataset.

    Args:
        config: Which dataset, and how its images become pixels of one size.
        hear: Hears how far it is.

    Returns:
        The images, and where they are, for people.

    Raises:
        DataError: If the dataset cannot be found or read.
        StoreError: If the images cannot be kept in the cache.
    """
    if config.name is not None:
        return _read_named(config.name, config, hear)
    return _read_path(str(config.path), config, hear)


def holds_files(source: str) -> bool:
    """Whether what `collect` has read is image files, whose classes have names and no numbers."""
    path = Path(source)
    return path.exists() and not npz.holds(path) and any(container.holds(path) for container in CONTAINERS)


def _read_named(name: str, config: DataConfig, hear: Hear) -> tuple[Collection, str]:
    if name == "digits":
        return _make_collection(digits.read(), digits.SOURCE, config), digits.SOURCE
    location = locate(name)
    if location is None and name not in BUILTIN:
        raise _explain_unknown(name)
    if location is None or location.read is not None:
        arrays, source = (location.read(), str(location.path)) if location and location.read else download(name)
        return _make_collection(arrays, source, config), source
    return _read_file(location.path, config, hear), str(location.path)


def _read_path(path: str, config: DataConfig, hear: Hear) -> tuple[Collection, str]:
    if objects.is_factory(path):
        result = objects.call_factory(path)
        is_path = isinstance(result, str | os.PathLike)
        return _read_path(os.fspath(result), config, hear) if is_path else (_read_object(result, path, config), path)
    return _read_file(find_images(path), config, hear), path


def find_images(path: str) -> Path:
    """Returns the file or folder that a path names.

    Raises:
        DataError: If there is none, with the nearest name.
    """
    if not path:
        raise DataError("no images: the path is empty; expected that of a folder, archive, table or .npz file")
    file = Path(path).expanduser()
    if not file.exists():
        hint = _suggest_path(path, file)
        raise DataError(f"{path}: no such file or folder{hint}")
    return file


def _suggest_path(path: str, file: Path) -> str:
    """Returns what may be meant by a path that does not exist."""
    if not path.isprintable():
        return "; in a study file, write a path with backslashes in single quotes, or with / instead"
    other = path.replace("\\", "/")
    if other != path and Path(other).expanduser().exists():
        return f"; did you mean '{other}'?"
    return nearest(file.name, [other.name for other in file.parent.iterdir()]) if file.parent.is_dir() else ""


def _read_file(path: Path, config: DataConfig, hear: Hear) -> Collection:
    """Reads a file or folder, or takes its images from the cache."""
    if npz.holds(path):

        def save(folder: Path) -> None:
            _make_collection(npz.read(path), str(path), config).save(folder)

        return _load_or_make(path, read_change_marker(path), config, save)
    container = next((container for container in CONTAINERS if container.holds(path)), None)
    if container is None:
        raise DataError(f"{path}: cannot be read; expected {EXPECTED}")
    return _load_or_make(
        path, container.compute_signature(path), config, partial(_decode, container, path, config, hear)
    )


def _decode(container: Container, path: Path, config: DataConfig, hear: Hear, folder: Path) -> None:
    files, layout = container.list_images(path, folder, hear)
    with silence_pillow():  # what cannot be read is listed
        decode_files(str(path), files, layout.findings, config, folder, hear)
    archive.delete_unpacked(folder)


def _load_or_make(path: Path, signature: str, config: DataConfig, make: Callable[[Path], None]) -> Collection:
    preparation = f"{config.image_size} {config.resize} {config.channels}"
    return load_or_make(config.title, f"{path.resolve()}\n{preparation}\n{signature}", make)


def _read_object(data: Any, source: str, config: DataConfig) -> Collection:
    with explain_errors(source, objects.OBJECT_FORMS, "change what it returns"):
        return _make_collection(objects.from_object(data), source, config)


def _make_collection(arrays: Arrays, source: str, config: DataConfig) -> Collection:
    arrays, names = _name_classes(arrays, config.name, source)
    with explain_errors(source, "images of one size", FIX):
        return from_arrays(arrays, names, config)


def _name_classes(arrays: Arrays, name: str | None, source: str) -> tuple[Arrays, tuple[str, ...]]:
    """Returns the arrays and the class names, once they agree with each other and with what is known."""
    builtin = BUILTIN.get(name or "")
    if arrays.class_names is None and builtin is None:
        return _number_classes(arrays)
    largest = max(int(split.labels.max()) for split in arrays.parts.values())
    names = arrays.class_names or (builtin.class_names if builtin else ())
    count = len(builtin.class_names) if builtin else len(names)
    if largest >= count or len(names) != count:
        raise DataError(
            f"{source}: holds labels up to {largest} and {len(names)} class names, expected {count} classes for "
            f"{name or 'it'}; replace it with the right files"
        )
    return arrays, names


def _number_classes(arrays: Arrays) -> tuple[Arrays, tuple[str, ...]]:
    """Names classes by their numbers, which may have gaps, and labels images with the indices of these names."""
    numbers = np.unique(np.concatenate([split.labels for split in arrays.parts.values()]))
    parts = {
        part: replace(split, labels=np.searchsorted(numbers, split.labels).astype(np.int64))
        for part, split in arrays.parts.items()
    }
    return replace(arrays, parts=parts), tuple(map(str, numbers.tolist()))


def _explain_unknown(name: str) -> DataError:
    names = [*BUILTIN_NAMES, *list_own_names()]
    hint = nearest(name, names) or f"; known: {', '.join(names)}"
    return DataError(
        f"no dataset named '{name}'{hint}; for your own images, pass their folder or file with --data, or set "
        f"{VARIABLE} to the folder that holds it"
    )
