"""Images without a label are left out and counted; a class that is called nan is a class."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from searchcnn.data import Dataset
from searchcnn.errors import DataError
from searchcnn.events import ignore
from searchcnn.sources import load_dataset
from searchcnn.sources.objects import from_object
from searchcnn.sources.source import collect
from searchcnn.study import DataConfig

COUNT = 24
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 4, 4, 3), dtype=np.uint8)
NAN = float("nan")


class NotAvailable:
    """Is as pandas.NA is: neither equal to itself nor different, and neither true nor false."""

    def __ne__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


def make_labels(values: list[Any], kind: Any) -> Any:
    array = np.empty(len(values), kind)
    array[:] = values
    return array


NAMES, NUMBERS = ["cat", "dog"] * 11, [0, 1] * 11
MISSING: dict[str, tuple[Any, tuple[str, ...]]] = {
    "None in a list": (["cat", None, *NAMES], ("cat", "dog")),
    "NaN in a list of names": (["cat", NAN, *NAMES], ("cat", "dog")),
    "an array of objects": (make_labels(["cat", NAN, *NAMES], object), ("cat", "dog")),
    "NA of pandas": (make_labels(["cat", NotAvailable(), *NAMES], object), ("cat", "dog")),
    "not a time": (make_labels(["cat", np.datetime64("NaT"), *NAMES], object), ("cat", "dog")),
    "no text": (np.array(["cat", "", *NAMES]), ("cat", "dog")),
    "no bytes": (np.array([b"cat", b"", *(name.encode() for name in NAMES)]), ("cat", "dog")),
    "not a number": (np.array([0, NAN, *NUMBERS]), ("0", "1")),
    "a column of numbers": (np.array([[0], [NAN], *([number] for number in NUMBERS)]), ("0", "1")),
    "None among numbers": ([0, None, *NUMBERS], ("0", "1")),
    "masked numbers": (np.ma.masked_equal([0, 9, *NUMBERS], 9), ("0", "1")),
    "masked names": (np.ma.masked_equal(np.array(["cat", "?", *NAMES]), "?"), ("cat", "dog")),
    "a column of names": ([["cat"], [NAN], *([name] for name in NAMES)], ("cat", "dog")),
    "masked rows": (np.ma.masked_less(np.array([[1, 0], [-1, -1], *([1 - n, n] for n in NUMBERS)]), 0), ("0", "1")),
    "rows of None": ([[1, 0], [None, None], *([1 - n, n] for n in NUMBERS)], ("0", "1")),
    "None instead of a row": ([[1, 0], None, *([1 - n, n] for n in NUMBERS)], ("0", "1")),
    "text of any length": (np.array(["cat", None, *NAMES], np.dtypes.StringDType(na_object=None)), ("cat", "dog")),
    "rows of one-hot": (np.array([[1, 0], [NAN, NAN], *([1 - n, n] for n in NUMBERS)]), ("0", "1")),
}


def load(path: Path | str, **settings: Any) -> Dataset:
    return load_dataset(DataConfig(path=str(path), validation=4, test=4, **settings), 0)


def list_warnings(dataset: Dataset) -> list[str]:
    return [str(finding) for finding in dataset.inspection.findings if finding.level == "warning"]


@pytest.mark.parametrize(("labels", "classes"), MISSING.values(), ids=MISSING)
def test_missing_labels_of_arrays(labels: Any, classes: tuple[str, ...]) -> None:
    arrays = from_object((IMAGES, labels))
    assert arrays.class_names in (classes, None)
    assert arrays.parts["train"].labels.tolist() == [0, *NUMBERS]
    assert np.array_equal(arrays.parts["train"].images, np.delete(IMAGES, 1, axis=0))
    (finding,) = arrays.findings
    assert str(finding).startswith("1 of 24 images of train has no label (image 1")
    assert str(finding).endswith("); left out")


def test_a_part_without_labels_is_left_out() -> None:
    arrays = from_object(((IMAGES, [0, 1] * 12), (IMAGES, [None] * COUNT)))
    assert set(arrays.parts) == {"train"}
    assert [str(finding) for finding in arrays.findings] == [
        "24 of 24 images of test have no label (image 0: None); left out"
    ]
    with pytest.raises(ValueError, match="no image to train on has a label"):
        from_object((IMAGES, [None] * COUNT))


def test_numpy_archives(tmp_path: Path) -> None:
    np.savez(tmp_path / "birds.npz", x=IMAGES, y=[0.0, NAN, *NUMBERS])
    dataset = load(tmp_path / "birds.npz")
    assert dataset.class_names == ("0", "1")
    assert list_warnings(dataset) == ["1 of 24 images of train has no label (image 1: nan); left out"]
    np.savez(tmp_path / "birds.npz", x=IMAGES, y=np.array(["cat", NAN, *NAMES]))  # NumPy has made text of it
    assert (
        "1 label is the word 'nan'; taken for a class; if it means that there is no label, leave it empty"
    ) in list_warnings(load(tmp_path / "birds.npz"))


def test_names_of_classes_beside_labels_that_are_text(tmp_path: Path) -> None:
    np.savez(tmp_path / "birds.npz", x=IMAGES, y=["cat", "dog"] * 12, class_names=["dog", "cat"])
    dataset = load(tmp_path / "birds.npz")
    assert dataset.class_names == ("dog", "cat")
    np.savez(tmp_path / "birds.npz", x=IMAGES, y=["cat", "cow"] * 12, class_names=["dog", "cat"])
    with pytest.raises(DataError, match="holds the label 'cow', expected one of the class names dog, cat"):
        load(tmp_path / "birds.npz")


def test_labels_without_an_end() -> None:
    with pytest.raises(ValueError, match="labels of train are float64"):
        from_object((IMAGES, [float("inf"), 1.0] * 12))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Returns a folder of images."""
    for number in range(COUNT):
        Image.fromarray(IMAGES[number]).save(tmp_path / f"{number}.png")
    return tmp_path


def rows(labels: list[Any]) -> dict[str, list[Any]]:
    return {"path": [f"{number}.png" for number in range(COUNT)], "label": labels}


@pytest.mark.parametrize("missing", [None, NAN])
def test_parquet(images: Path, missing: Any) -> None:
    for labels in ([0.0, missing, *map(float, NUMBERS)], ["cat", None, *NAMES]):
        parquet.write_table(pyarrow.table(rows(labels)), images / "list.parquet")
        dataset = load(images / "list.parquet")
        assert dataset.num_classes == 2
        assert list_warnings(dataset) == ["1 row of the table cannot be used (row 3: no label); left out"]


def write(path: Path, labels: list[str]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *zip(*rows(labels).values(), strict=True)])
    return path


@pytest.mark.parametrize("word", ["nan", "NaN", "None", "NULL", "<NA>", "N/A"])
def test_text_that_may_mean_none(images: Path, word: str) -> None:
    dataset = load(write(images / "list.csv", ["cat", word, word, word, *NAMES[:20]]))
    assert word in dataset.class_names
    assert (
        f"3 labels are the word '{word}'; taken for a class; if it means that there is no label, leave it empty"
    ) in list_warnings(dataset)


def test_empty_cells(images: Path) -> None:
    dataset = load(write(images / "list.csv", ["cat", "", *NAMES]))
    assert dataset.class_names == ("cat", "dog")
    assert list_warnings(dataset) == ["1 row of the table cannot be used (row 3: no label); left out"]


def test_folders_are_classes_whatever_their_names(tmp_path: Path) -> None:
    for number in range(COUNT):
        folder = tmp_path / "bread" / ("nan", "None", "rye")[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGES[number]).save(folder / f"{number}.png")
    collection, _ = collect(DataConfig(path=str(tmp_path / "bread")), ignore)
    assert (collection.class_names, collection.findings) == (("None", "nan", "rye"), ())
