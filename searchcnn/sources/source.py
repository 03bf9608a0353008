"""Reads the images of a study from wherever they are."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from searchcnn.data.cache import cached
from searchcnn.data.collection import Collection, from_arrays
from searchcnn.data.dataset import Arrays, Split
from searchcnn.data.decoding import ImageFile, Watch, decode_files
from searchcnn.data.metadata import quiet
from searchcnn.errors import DataError, nearest
from searchcnn.files import read_change_marker
from searchcnn.sources import archive, digits, image_folder, npz, objects, table
from searchcnn.sources.builtin import BUILTIN, NAMES
from searchcnn.sources.download import download
from searchcnn.sources.layout import Layout
from searchcnn.sources.locate import locate, own_names
from searchcnn.sources.places import VARIABLE
from searchcnn.sources.reading import MEND, reading
from searchcnn.study import DataConfig

EXPECTED = "a folder, an archive (.zip, .tar, .tar.gz, .tar.xz), a table (.csv, .parquet) or a NumPy archive (.npz)"


class Format(NamedTuple):
    """A way in which image files are kept.

    Attributes:
        holds: Whether a path is of this kind.
        list_images: Lists the image files; into the folder it may write what they are read from.
        signature: Returns a text that changes when one of them does.
    """

    holds: Callable[[Path], bool]
    list_images: Callable[[Path, Path, Watch], tuple[list[ImageFile], Layout]]
    signature: Callable[[Path], str]


FORMATS = (
    Format(archive.holds, archive.list_images, read_change_marker),
    Format(table.holds, table.list_images, table.signature),
    Format(image_folder.holds, image_folder.list_images, image_folder.signature),
)


def collect(config: DataConfig, watch: Watch) -> tuple[Collection, str]:
    """Reads all images of a study's dataset.

    Args:
        config: Which dataset, and how its images become pixels of one size.
        watch: Is told how far it is.

    Returns:
        The images, and where they are, for people.

    Raises:
        DataError: If the dataset cannot be found or read.
        StoreError: If the images cannot be kept in the cache.
    """
    return _named(config.name, config, watch) if config.name is not None else _of_path(str(config.path), config, watch)


def _named(name: str, config: DataConfig, watch: Watch) -> tuple[Collection, str]:
    if name == "digits":
        return _of_arrays(digits.read(), digits.SOURCE, config), digits.SOURCE
    location = locate(name)
    if location is None and name not in BUILTIN:
        raise _unknown(name)
    if location is None or location.read is not None:
        arrays, source = (location.read(), str(location.path)) if location and location.read else download(name)
        return _of_arrays(arrays, source, config), source
    return _of_place(location.path, config, watch), str(location.path)


def _of_path(path: str, config: DataConfig, watch: Watch) -> tuple[Collection, str]:
    if objects.is_factory(path):
        made = objects.call(path)
        is_path = isinstance(made, str | os.PathLike)
        return _of_path(os.fspath(made), config, watch) if is_path else (_of_object(made, path, config), path)
    place = Path(path).expanduser()
    if not place.exists():
        hint = nearest(place.name, [near.name for near in place.parent.iterdir()]) if place.parent.is_dir() else ""
        raise DataError(f"{path}: no such file or folder{hint}")
    return _of_place(place, config, watch), path


def _of_place(place: Path, config: DataConfig, watch: Watch) -> Collection:
    """Reads what lies in a folder or file, or takes it from the cache."""
    if npz.holds(place):
        return _kept(
            place,
            read_change_marker(place),
            config,
            lambda to: _of_arrays(npz.read(place), str(place), config).save(to),
        )
    if (format := next((format for format in FORMATS if format.holds(place)), None)) is None:
        raise DataError(f"{place}: cannot be read; expected {EXPECTED}")
    return _kept(place, format.signature(place), config, lambda to: _decode(format, place, config, to, watch))


def _decode(format: Format, place: Path, config: DataConfig, to: Path, watch: Watch) -> None:
    files, layout = format.list_images(place, to, watch)
    with quiet():  # what cannot be read is listed
        decode_files(str(place), files, layout.findings, config, to, watch)
    archive.tidy(to)


def _kept(place: Path, signature: str, config: DataConfig, make: Callable[[Path], None]) -> Collection:
    how = f"{config.image_size} {config.resize} {config.channels}"
    return cached(config.title, f"{place.resolve()}\n{how}\n{signature}", make)


def _of_object(made: Any, source: str, config: DataConfig) -> Collection:
    with reading(source, objects.FORMS, "change what it returns"):
        return _of_arrays(objects.from_object(made), source, config)


def _of_arrays(arrays: Arrays, source: str, config: DataConfig) -> Collection:
    arrays, names = _named_classes(arrays, config.name, source)
    with reading(source, "images of one size", MEND):
        return from_arrays(arrays, names, config)


def _named_classes(arrays: Arrays, name: str | None, source: str) -> tuple[Arrays, tuple[str, ...]]:
    """Returns the arrays and the class names, once they agree with each other and with what is known of the dataset."""
    known = BUILTIN.get(name or "")
    if arrays.class_names is None and known is None:
        return _numbered(arrays)
    largest = max(int(split.labels.max()) for split in arrays.parts.values())
    names = arrays.class_names or (known.class_names if known else ())
    wanted = len(known.class_names) if known else len(names)
    if largest >= wanted or len(names) != wanted:
        raise DataError(
            f"{source}: holds labels up to {largest} and {len(names)} class names, expected {wanted} classes for "
            f"{name or 'it'}; replace it with the right files"
        )
    return arrays, names


def _numbered(arrays: Arrays) -> tuple[Arrays, tuple[str, ...]]:
    """Names classes by their numbers, which may have gaps, and labels images with the places of these names."""
    numbers = np.unique(np.concatenate([split.labels for split in arrays.parts.values()]))
    parts = {
        part: Split(split.images, np.searchsorted(numbers, split.labels).astype(np.int64))
        for part, split in arrays.parts.items()
    }
    return replace(arrays, parts=parts), tuple(map(str, numbers.tolist()))


def _unknown(name: str) -> DataError:
    known = [*NAMES, *own_names()]
    hint = nearest(name, known) or f"; known: {', '.join(known)}"
    return DataError(
        f"no dataset named '{name}'{hint}; for your own images, give their folder or file with --data, or set "
        f"{VARIABLE} to the folder that holds it"
    )
