"""Each format gives back the pixels that were written, and names what is wrong with a damaged file."""

import gzip
import pickle
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from searchcnn.data import NAMES, cifar, idx, image_folder, npz
from searchcnn.data.builtin import BUILTIN
from searchcnn.data.dataset import Undivided
from searchcnn.errors import DataError

Make = Callable[..., Any]


def same(read: Undivided, arrays: Any) -> bool:
    train, test = read.train, read.test
    got: tuple[Any, ...] = (train.images, train.labels, test.images, test.labels)
    return all(np.array_equal(a.reshape(b.shape), b) for a, b in zip(got, arrays, strict=True))


def test_idx(tmp_path: Path, arrays: Make, write_idx: Make) -> None:
    write_idx(tmp_path / "fashion-mnist", arrays())
    folder = idx.find(tmp_path, "fashion_mnist")
    assert folder == tmp_path / "fashion-mnist"
    read = idx.read(folder, "fashion_mnist")
    assert same(read, arrays())
    assert read.train.images.shape == (40, 28, 28, 1)
    assert (read.train.images.dtype.name, read.train.labels.dtype.name) == ("uint8", "int64")


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


def test_npz(tmp_path: Path, arrays: Make, write_npz: Make) -> None:
    x_train, y_train, x_test, y_test = arrays((8, 6, 3))
    write_npz(tmp_path / "birds.npz", (x_train.astype(np.int32), y_train[:, np.newaxis], x_test, y_test))
    path = npz.find(tmp_path, "birds")
    assert path is not None
    read = npz.read(path, "birds")
    assert same(read, arrays((8, 6, 3)))
    assert read.train.images.dtype == np.uint8


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a: a.pop("y_test"), "without y_test"),
        (lambda a: a.update(x_train=a["x_train"] / 255), "pixels are float64, 0.0..1.0"),
        (lambda a: a.update(x_train=a["x_train"].astype(int) * 2), "0..510, not integers 0..255"),
        (lambda a: a.update(x_train=a["x_train"][:, 0, 0]), r"images have shape \(40,\)"),
        (lambda a: a.update(y_train=a["y_train"][1:]), r"labels have shape \(39,\)"),
        (lambda a: a.update(y_train=a["y_train"] - 0.5), "labels are float64"),
        (lambda a: a.update(y_train=a["y_train"].astype(int) - 1), "from -1"),
        (lambda a: a.update(x_test=a["x_test"][:0], y_test=a["y_test"][:0]), r"shape \(0, 28, 28\)"),
        (lambda a: a.update(y_test=np.array([{}])), "allow_pickle=False"),
    ],
)
def test_wrong_npz(tmp_path: Path, arrays: Make, change: Make, reason: str) -> None:
    content = dict(zip(npz.KEYS, arrays(), strict=True))
    content["x_train"][0] = 0
    content["x_train"][1] = 255
    change(content)
    np.savez(tmp_path / "mnist.npz", **content)
    with pytest.raises(DataError, match=f"^{re.escape(str(tmp_path))}/mnist.npz: expected a NumPy archive.*{reason}"):
        npz.read(tmp_path / "mnist.npz", "mnist")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x80\x04N."], ids=["empty", "cut off", "pickle"])
def test_damaged_npz(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mnist.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"mnist.npz: expected"):
        npz.read(tmp_path / "mnist.npz", "mnist")


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 3), (9, 7, 4)])
def test_image_folder(tmp_path: Path, arrays: Make, write_images: Make, shape: tuple[int, ...]) -> None:
    write_images(tmp_path / "birds", arrays(shape))
    (tmp_path / "birds" / "train" / ".DS_Store").write_text("")
    (tmp_path / "birds" / "train" / "c0" / "Thumbs.db").write_text("")
    path = image_folder.find(tmp_path, "birds")
    assert path is not None
    read = image_folder.read(path, "birds")
    x_train, y_train, _, _ = arrays(shape)
    order = np.argsort(y_train, kind="stable")
    assert np.array_equal(read.train.images.reshape(40, *shape), x_train[order])
    assert np.array_equal(read.train.labels, y_train[order])
    assert read.class_names == tuple(f"c{label}" for label in range(10))


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (Image.new("L", (7, 8)), "is 8 x 7 x 1 where the first image is 9 x 7 x 1"),
        (Image.new("RGB", (7, 9)), "is 9 x 7 x 3 where the first image is 9 x 7 x 1"),
        (Image.new("P", (7, 9)), "has Pillow's mode P, expected L, RGB, RGBA"),
        (None, "expected an image"),
    ],
)
def test_odd_image(tmp_path: Path, arrays: Make, write_images: Make, image: Image.Image | None, reason: str) -> None:
    write_images(tmp_path, arrays((9, 7)))
    odd = tmp_path / "test" / "c4" / "odd.png"
    odd.write_bytes(b"no image")
    if image is not None:
        image.save(odd)
    with pytest.raises(DataError) as caught:
        image_folder.read(tmp_path, "birds")
    assert str(caught.value).startswith(f"{odd}: {reason}")


@pytest.mark.parametrize("part", ["val", "valid", "validation"])
def test_where_there_is_no_test_part_the_validation_folder_is_held_out(
    tmp_path: Path, arrays: Make, write_images: Make, part: str
) -> None:
    write_images(tmp_path / "birds", arrays((9, 7)))
    assert image_folder.find(tmp_path, "birds")
    (tmp_path / "birds" / "test").rename(tmp_path / "birds" / part)
    path = image_folder.find(tmp_path, "birds")
    assert path is not None
    order = np.argsort(arrays()[3], kind="stable")
    assert np.array_equal(image_folder.read(path, "birds").test.images[..., 0], arrays((9, 7))[2][order])
    (tmp_path / "birds" / part).rename(tmp_path / "birds" / "other")
    assert image_folder.find(tmp_path, "birds") is None


def test_the_test_folder_comes_before_the_validation_folder(tmp_path: Path, arrays: Make, write_images: Make) -> None:
    write_images(tmp_path, arrays((9, 7)))
    (tmp_path / "test").rename(tmp_path / "val")
    write_images(tmp_path, arrays((9, 7), seed=1))
    order = np.argsort(arrays()[3], kind="stable")
    assert np.array_equal(image_folder.read(tmp_path, "x").test.images[..., 0], arrays((9, 7), seed=1)[2][order])


def test_image_folder_with_other_test_classes(tmp_path: Path, arrays: Make, write_images: Make) -> None:
    write_images(tmp_path, arrays((9, 7)))
    (tmp_path / "test" / "c4").rename(tmp_path / "test" / "c44")
    with pytest.raises(DataError, match="test: expected one folder for each class"):
        image_folder.read(tmp_path, "birds")


def test_image_folder_without_images(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / part / "c0").mkdir(parents=True)
    with pytest.raises(DataError, match=r"train: no images; expected <class>/<image>"):
        image_folder.read(tmp_path, "birds")


@pytest.mark.parametrize("below", ["cifar-10-batches-py", "cifar-10-batches-py-target/cifar-10-batches-py"])
def test_cifar10(tmp_path: Path, arrays: Make, write_cifar10: Make, below: str) -> None:
    write_cifar10(tmp_path / below, arrays((32, 32, 3)))
    path = cifar.find(tmp_path, "cifar10")
    assert path == tmp_path / below
    assert same(cifar.read(path, "cifar10"), arrays((32, 32, 3)))


def test_cifar10_archive(tmp_path: Path, arrays: Make, write_cifar10: Make) -> None:
    write_cifar10(tmp_path / "new", arrays((32, 32, 3)))
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "new", "cifar-10-batches-py")
    path = cifar.find(tmp_path, "cifar10")
    assert path == tmp_path / "cifar-10-python.tar.gz"
    assert same(cifar.read(path, "cifar10"), arrays((32, 32, 3)))


@pytest.mark.parametrize("meta", [True, False])
def test_cifar100(tmp_path: Path, arrays: Make, write_cifar100: Make, meta: bool) -> None:
    folder = tmp_path / "cifar-100-python"
    write_cifar100(folder, arrays((32, 32, 3)))
    if meta:
        (folder / "meta").write_bytes(pickle.dumps({b"fine_label_names": [b"apple", b"pear"]}))
    read = cifar.read(folder, "cifar100")
    assert same(read, arrays((32, 32, 3)))
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
    assert {name: len(set(BUILTIN[name].class_names)) for name in NAMES} == {
        "fashion_mnist": 10,
        "mnist": 10,
        "cifar10": 10,
        "cifar100": 100,
        "digits": 10,
    }
