"""A machine of its own for each test: empty folders and no network."""

import gzip
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from searchcnn.sources import debian, downloads, folders, idx

Arrays = tuple[Any, Any, Any, Any]


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the folder that holds all folders of datasets."""
    for variable in ("SEARCHCNN_DATA", "KERAS_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(folders, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setattr(debian, "LISTS", tmp_path / "lists")

    def offline(url: str) -> None:
        raise ConnectionError("Keras' download (offline)")

    monkeypatch.setattr(downloads, "_check_server", offline)
    return tmp_path


@pytest.fixture
def own(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns the user's own folder of datasets, set as SEARCHCNN_DATA."""
    folder = machine / "own"
    folder.mkdir()
    monkeypatch.setenv("SEARCHCNN_DATA", str(folder))
    return folder


@pytest.fixture
def arrays() -> Callable[..., Arrays]:
    """Returns a maker of 40 training and 20 test images of 10 classes."""

    def make(shape: tuple[int, ...] = (28, 28), seed: int = 0) -> Arrays:
        random = np.random.default_rng(seed)
        train, test = (random.integers(0, 256, (size, *shape), dtype=np.uint8) for size in (40, 20))
        return train, np.arange(40, dtype=np.uint8) % 10, test, np.arange(20, dtype=np.uint8) % 10

    return make


@pytest.fixture
def write_idx() -> Callable[[Path, Arrays], None]:
    """Returns a writer of the four gzipped IDX files."""

    def write(folder: Path, arrays: Arrays) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for file, array in zip(idx.FILES, arrays, strict=True):
            head = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (folder / file).write_bytes(gzip.compress(head + array.tobytes()))

    return write


@pytest.fixture
def write_npz() -> Callable[[Path, Arrays], None]:
    """Returns a writer of one NumPy archive."""

    def write(path: Path, arrays: Arrays) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **dict(zip(("x_train", "y_train", "x_test", "y_test"), arrays, strict=True)))

    return write


@pytest.fixture
def write_images() -> Callable[[Path, Arrays], None]:
    """Returns a writer of image files sorted into folders; class 3 lies in ``c3``."""

    def write(folder: Path, arrays: Arrays) -> None:
        for part, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
            for index, (pixels, label) in enumerate(zip(images, labels, strict=True)):
                path = folder / part / f"c{label}" / f"{index:03}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)

    return write


@pytest.fixture
def write_archive() -> Callable[..., Path]:
    """Returns a writer of an archive of a folder, in the format that its name says."""

    def write(path: Path, folder: Path, top: str) -> Path:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for file in [folder, *folder.rglob("*")]:
                    archive.write(file, Path(top) / file.relative_to(folder))
            return path
        kinds = {".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz", ".txz": "w:xz", ".bz2": "w:bz2"}
        kind: Any = kinds.get(path.suffix, "w")
        with tarfile.open(path, kind) as archive:
            archive.add(folder, top)
        return path

    return write


@pytest.fixture
def write_cifar100() -> Callable[[Path, Arrays], None]:
    """Returns a writer of CIFAR-100's two pickled files."""

    def write(folder: Path, arrays: Arrays) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for file, images, labels in (("train", *arrays[:2]), ("test", *arrays[2:])):
            rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
            batch = {b"data": rows, b"fine_labels": [int(label) for label in labels]}
            (folder / file).write_bytes(pickle.dumps(batch, protocol=2))

    return write


@pytest.fixture
def write_cifar10() -> Callable[[Path, Arrays], None]:
    """Returns a writer of CIFAR-10's six pickled batches."""

    def write(folder: Path, arrays: Arrays) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        x_train, y_train, x_test, y_test = arrays
        parts = zip(np.split(x_train, 5), np.split(y_train, 5), strict=True)
        files = {f"data_batch_{number}": part for number, part in enumerate(parts, 1)} | {
            "test_batch": (x_test, y_test)
        }
        for file, (images, labels) in files.items():
            rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
            batch = {b"data": rows, b"labels": [int(label) for label in labels]}
            (folder / file).write_bytes(pickle.dumps(batch, protocol=2))

    return write
