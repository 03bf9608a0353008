"""The published formats give back the pixels that were written, and name what is wrong with a damaged file."""

import gzip
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.data.dataset import Arrays
from searchcnn.errors import DataError
from searchcnn.sources import BUILTIN_NAMES, cifar, idx
from searchcnn.sources.builtin import BUILTIN

Make = Callable[..., Any]


def is_same(read: Arrays, arrays: Any) -> bool:
    train, test = read.parts["train"], read.parts["test"]
    got: tuple[Any, ...] = (train.images, train.labels, test.images, test.labels)
    return all(np.array_equal(a.reshape(b.shape), b) for a, b in zip(got, arrays, strict=True))


def test_idx(tmp_path: Path, arrays: Make, write_idx: Make) -> None:
    write_idx(tmp_path / "fashion-mnist", arrays())
    folder = idx.find(tmp_path, "fashion_mnist")
    assert folder == tmp_path / "fashion-mnist"
    read = idx.read(folder, "fashion_mnist")
    assert is_same(read, arrays())
    assert read.parts["train"].images.shape == (40, 28, 28, 1)
    assert (read.parts["train"].images.dtype.name, read.parts["train"].labels.dtype.name) == ("uint8", "int64")


def test_idx_files_outside_a_folder_are_fashion_mnist(tmp_path: Path, arrays: Make, write_idx: Make) -> None:
    write_idx(tmp_path, arrays())
    assert idx.find(tmp_path, "fashion_mnist") == tmp_path
    assert idx.find(tmp_path, "mnist") is None


def test_idx_needs_all_four_files(tmp_path: Path, arrays: Make, write_idx: Make) -> None:
    write_idx(tmp_path, arrays())
    (tmp_path / idx.FILES[3]).unlink()
    assert idx.find(tmp_path, "fashion_mnist") is None


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content[: len(content) // 2], "cut off"),
        (lambda content: b"", "begins with the bytes none"),
        (lambda content: b"<html>not found</html>", "Not a gzipped file"),
        (lambda content: gzip.compress(b"\0\0\x08\x01" + bytes(8)), "begins with the bytes 00000801"),
        (lambda content: gzip.compress(gzip.decompress(content)[:-1]), "cannot reshape"),
    ],
)
def test_damaged_idx(tmp_path: Path, arrays: Make, write_idx: Make, damage: Make, reason: str) -> None:
    write_idx(tmp_path, arrays())
    path = tmp_path / idx.FILES[0]
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        idx.read(tmp_path, "fashion_mnist")
    assert str(caught.value).startswith(f"{path}: expected a gzipped IDX file")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_idx_labels_of_another_dataset(tmp_path: Path, arrays: Make, write_idx: Make) -> None:
    x_train, y_train, x_test, y_test = arrays()
    write_idx(tmp_path, (x_train, y_train[:-1], x_test, y_test))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte.gz: expected one label .* of 40 images"):
        idx.read(tmp_path, "fashion_mnist")


@pytest.mark.parametrize("below", ["cifar-10-batches-py", "cifar-10-batches-py-target/cifar-10-batches-py"])
def test_cifar10(tmp_path: Path, arrays: Make, write_cifar10: Make, below: str) -> None:
    write_cifar10(tmp_path / below, arrays((32, 32, 3)))
    path = cifar.find(tmp_path, "cifar10")
    assert path == tmp_path / below
    assert is_same(cifar.read(path, "cifar10"), arrays((32, 32, 3)))


def test_cifar10_archive(tmp_path: Path, arrays: Make, write_cifar10: Make) -> None:
    write_cifar10(tmp_path / "new", arrays((32, 32, 3)))
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "new", "cifar-10-batches-py")
    path = cifar.find(tmp_path, "cifar10")
    assert path == tmp_path / "cifar-10-python.tar.gz"
    assert is_same(cifar.read(path, "cifar10"), arrays((32, 32, 3)))


@pytest.mark.parametrize("meta", [True, False])
def test_cifar100(tmp_path: Path, arrays: Make, write_cifar100: Make, meta: bool) -> None:
    folder = tmp_path / "cifar-100-python"
    write_cifar100(folder, arrays((32, 32, 3)))
    if meta:
        (folder / "meta").write_bytes(pickle.dumps({b"fine_label_names": [b"apple", b"pear"]}))
    read = cifar.read(folder, "cifar100")
    assert is_same(read, arrays((32, 32, 3)))
    assert read.class_names == (("apple", "pear") if meta else None)


class Foreign:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pickle.dumps(Foreign()), "it asks to run"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8)}), "without data, labels"),
        (pickle.dumps({b"data": np.zeros((2, 99), np.uint8), b"labels": [0, 0]}), "cannot reshape"),
        (pickle.dumps([1]), "without data, labels"),
        (b"", "Ran out of input"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8)})[:-9], "truncated"),
    ],
    ids=["code", "no labels", "rows too short", "a list", "empty", "cut off"],
)
def test_foreign_cifar_file(
    tmp_path: Path, arrays: Make, write_cifar10: Make, monkeypatch: pytest.MonkeyPatch, content: bytes, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_cifar10(tmp_path, arrays((32, 32, 3)))
    (tmp_path / "data_batch_3").write_bytes(content)
    with pytest.raises(DataError, match=f"data_batch_3: expected a pickled batch of CIFAR images.*{reason}"):
        cifar.read(tmp_path, "cifar10")
    assert not Path("executed").exists()


def test_damaged_cifar_archive(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(gzip.compress(b"no archive"))
    with pytest.raises(DataError, match=r"cifar-10-python.tar.gz: expected a tar archive of data_batch_1"):
        cifar.read(path, "cifar10")


def test_builtin_class_names() -> None:
    assert {name: len(set(BUILTIN[name].class_names)) for name in BUILTIN_NAMES} == {
        "fashion_mnist": 10,
        "mnist": 10,
        "cifar10": 10,
        "cifar100": 100,
        "digits": 10,
    }
