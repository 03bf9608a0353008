"""Reads CIFAR-10 and CIFAR-100 as they were published: pickled batches, in a folder or in a tar archive."""

import io
import pickle
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from searchcnn.data.dataset import Arrays, Split
from searchcnn.sources.reading import explain_errors, make_split


@dataclass(frozen=True)
class CifarFiles:
    """The files of one of the two datasets.

    Attributes:
        folders: Possible paths of the unpacked folder, relative to a folder of datasets.
        archives: Possible paths of the archive.
        train: Files of training images.
        test: File of test images.
        labels: Key of the labels in these files.
        meta: File of class names.
    """

    folders: tuple[str, ...]
    archives: tuple[str, ...]
    train: tuple[str, ...]
    test: str
    labels: bytes
    meta: str | None = None


CIFAR_FILES = {
    "cifar10": CifarFiles(
        folders=("cifar-10-batches-py-target/cifar-10-batches-py", "cifar-10-batches-py"),
        archives=("cifar-10-batches-py.tar.gz", "cifar-10-python.tar.gz"),
        train=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test="test_batch",
        labels=b"labels",
    ),
    "cifar100": CifarFiles(
        folders=("cifar-100-python-target/cifar-100-python", "cifar-100-python"),
        archives=("cifar-100-python.tar.gz",),
        train=("train",),
        test="test",
        labels=b"fine_labels",
        meta="meta",
    ),
}

ARCHIVES = frozenset(archive for dataset in CIFAR_FILES.values() for archive in dataset.archives)
"""File names of the published archives."""

_ALLOWED = frozenset(
    {
        ("_codecs", "encode"),
        ("numpy", "dtype"),
        ("numpy", "ndarray"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.numeric", "_frombuffer"),
    }
)


class _ArraysOnly(pickle.Unpickler):
    """Loads arrays and plain containers and refuses everything else, as the file may be from anyone."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")  # the files are older than NumPy 2
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks to run {module}.{name}")
        return super().find_class(module, name)


def find(folder: Path, name: str) -> Path | None:
    """Returns the folder of batches or the archive of a dataset; None if there is neither."""
    if (dataset := CIFAR_FILES.get(name)) is None:
        return None
    unpacked = (folder / below for below in dataset.folders)
    complete = (path for path in unpacked if all((path / file).is_file() for file in (*dataset.train, dataset.test)))
    archives = (path for path in (folder / file for file in dataset.archives) if path.is_file())
    return next(complete, None) or next(archives, None)


def read(path: Path, name: str) -> Arrays:
    """Reads a folder or an archive of batches.

    Raises:
        DataError: If a file is damaged, or holds anything but arrays and labels.
    """
    dataset = CIFAR_FILES[name]
    files = _read_folder(path, dataset) if path.is_dir() else _read_archive(path, dataset)
    parts = {
        "train": _read_split(path, files, dataset.train, dataset.labels),
        "test": _read_split(path, files, [dataset.test], dataset.labels),
    }
    meta = dataset.meta if dataset.meta in files else None
    return Arrays(parts, _read_class_names(path / meta, files[meta]) if meta else None)


def _read_folder(folder: Path, dataset: CifarFiles) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for file in _list_names(dataset):
        with explain_errors(folder / file, "a batch of CIFAR images"):
            if (folder / file).is_file():
                files[file] = (folder / file).read_bytes()
    return files


def _read_archive(path: Path, dataset: CifarFiles) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    with explain_errors(path, f"a tar archive of {', '.join(_list_names(dataset))}"), tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None and Path(member.name).name in _list_names(dataset):
                files[Path(member.name).name] = content.read()
        if missing := [file for file in (*dataset.train, dataset.test) if file not in files]:
            raise ValueError(f"without {', '.join(missing)}")
    return files


def _list_names(dataset: CifarFiles) -> tuple[str, ...]:
    return (*dataset.train, dataset.test, *([dataset.meta] if dataset.meta else []))


def _read_split(path: Path, files: Mapping[str, bytes], names: Sequence[str], labels: bytes) -> Split:
    batches = [_read_batch(path / name, files[name], labels) for name in names]
    return Split(
        np.concatenate([batch.images for batch in batches]), np.concatenate([batch.labels for batch in batches])
    )


def _read_batch(path: Path, content: bytes, labels: bytes) -> Split:
    """Reads rows of 3072 bytes, ordered (channel, height, width)."""
    with explain_errors(path, f"a pickled batch of CIFAR images with the keys data and {labels.decode()}"):
        batch = _unpickle(content, (b"data", labels))
        rows = np.asarray(batch[b"data"])
        return make_split(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), np.asarray(batch[labels]))


def _read_class_names(path: Path, content: bytes) -> tuple[str, ...]:
    with explain_errors(path, "pickled class names of CIFAR-100"):
        meta = _unpickle(content, (b"fine_label_names",))
        return tuple(name.decode() for name in meta[b"fine_label_names"])


def _unpickle(content: bytes, keys: Sequence[bytes]) -> Mapping[bytes, Any]:
    values = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    if not isinstance(values, dict) or any(key not in values for key in keys):
        raise ValueError(f"without {b', '.join(keys).decode()}")
    return values
