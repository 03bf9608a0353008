"""A dataset reduced to some of its classes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searchcnn.data import Dataset
from searchcnn.errors import DataError
from searchcnn.sources import load_dataset
from searchcnn.study import DataConfig

Make = Callable[..., Any]


def load(name: str, classes: int | list[str] | None, validation: float | int = 0.25) -> Dataset:
    return load_dataset(DataConfig(name=name, classes=classes, validation=validation), 0)


def labelled_images(count: int, size: int, classes: int) -> tuple[Any, Any]:
    """Returns images whose pixels all are their labels, but for the last ones: no two are the same."""
    labels = np.arange(count) % classes
    shape = (count, size, size, 3)
    images = np.broadcast_to(labels[:, np.newaxis, np.newaxis, np.newaxis], shape).astype(np.uint8)
    images[:, -1, -1, :] = np.arange(count)[:, np.newaxis] // (1, 256, 65536) % 256
    return images, labels


@pytest.mark.slow
def test_the_first_25_classes_of_cifar_100(own: Path, write_cifar100: Make) -> None:
    train, test = labelled_images(50_000, 32, 100), labelled_images(10_000, 32, 100)
    write_cifar100(own / "cifar-100-python", (*train, *test))
    dataset = load("cifar100", 25, 0.1)
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [11_250, 1_250, 2_500]
    assert (dataset.num_classes, dataset.class_names[0], dataset.class_names[-1]) == (25, "apple", "cockroach")
    for part in (dataset.train, dataset.validation, dataset.test):
        assert np.array_equal(part.images[:, 0, 0, 0], part.labels)
        assert len(set(np.bincount(part.labels, minlength=25))) == 1


def test_classes_are_labelled_in_the_order_of_the_list(own: Path, write_npz: Make) -> None:
    images, labels = labelled_images(60, 28, 10)
    write_npz(own / "fashion_mnist.npz", (images[..., 0], labels, images[:20, ..., 0], labels[:20]))
    dataset = load("fashion_mnist", ["Bag", "Trouser", "Dress"])
    assert dataset.class_names == ("Bag", "Trouser", "Dress")
    for part in (dataset.train, dataset.validation, dataset.test):
        assert set(part.labels) == {0, 1, 2}
        assert np.array_equal(np.array([8, 1, 3])[part.labels], part.images[:, 0, 0, 0])


def test_classes_of_files_are_in_natural_order(tmp_path: Path, write_images: Make) -> None:
    labels = np.arange(144) % 12
    images = np.random.default_rng(0).integers(0, 256, (144, 8, 8, 3), np.uint8)
    images[:, 0, 0] = labels[:, np.newaxis]
    write_images(tmp_path / "months", (images[:120], labels[:120], images[120:], labels[120:]))
    natural = load_dataset(DataConfig(path=str(tmp_path / "months")), 0)
    alphabetical = load_dataset(DataConfig(path=str(tmp_path / "months"), class_order="alphabetical"), 0)
    assert natural.class_names == tuple(f"c{number}" for number in range(12))
    assert alphabetical.class_names[:4] == ("c0", "c1", "c10", "c11")
    assert natural.fingerprint != alphabetical.fingerprint
    for dataset in (natural, alphabetical):
        numbers = np.array([int(name[1:]) for name in dataset.class_names])
        for part in (dataset.train, dataset.validation, dataset.test):
            assert np.array_equal(numbers[part.labels], part.images[:, 0, 0, 0])


def test_classes_that_have_numbers_keep_them(tmp_path: Path) -> None:
    """What an archive or a function numbers is what its author knows them by."""
    images, labels = labelled_images(60, 28, 12)
    np.savez(tmp_path / "x.npz", x_train=images, y_train=np.array([f"c{label}" for label in labels]))
    dataset = load_dataset(DataConfig(path=str(tmp_path / "x.npz")), 0)
    assert dataset.class_names[:3] == ("c0", "c1", "c10")


def test_another_choice_of_classes_is_other_data() -> None:
    first = load("digits", 5)
    same = load("digits", list("01234"), 300)
    others = [load("digits", classes) for classes in (None, 4, list("43210"))]
    assert first.fingerprint == same.fingerprint
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 4
    assert others[0].fingerprint == load("digits", 10).fingerprint


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (11, "data.classes = 11, but scikit-learn holds 10 classes; expected 2 to 10"),
        (["0", "l"], "data.classes: no class 'l' in scikit-learn; known: 0, 1, 2"),
    ],
)
def test_classes_that_are_not_there(classes: int | list[str], message: str) -> None:
    with pytest.raises(DataError) as caught:
        load("digits", classes)
    assert str(caught.value).startswith(message)


def test_the_nearest_class_is_named(own: Path, arrays: Make, write_npz: Make) -> None:
    write_npz(own / "fashion_mnist.npz", arrays())
    with pytest.raises(DataError, match=r"no class 'Sneakers' in .*fashion_mnist.npz; did you mean 'Sneaker'\?$"):
        load("fashion_mnist", ["Bag", "Sneakers"])
