"""Which image is in which part: the file that says so."""

import csv
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from searchcnn.data import Dataset, write_parts
from searchcnn.data.collection import Collection
from searchcnn.data.preparation import Preparation
from searchcnn.sources import load_dataset
from searchcnn.study import DataConfig

Rows = list[dict[str, str]]


def read(path: Path) -> Rows:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_folder(folder: Path) -> Path:
    """Writes images of two classes, each of its own colour; two have odd names."""
    for number, (name, red) in enumerate((name, red) for name in ("cats, small", "Füchse") for red in range(12)):
        path = folder / name / ('with "quotes".png' if red == 0 else f"{red}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (10 * number, red, 0)).save(path)
    return folder


def test_files_are_named_from_the_folder_on(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets")
    dataset = load_dataset(DataConfig(path=str(folder), validation=4, test=2), 0)
    write_parts(tmp_path / "x" / "split.csv", dataset)
    rows = read(tmp_path / "x" / "split.csv")
    assert list(rows[0]) == ["file", "class", "part"]
    assert sorted(row["file"] for row in rows) == sorted(
        str(path.relative_to(folder)) for path in folder.glob("*/*.png")
    )
    assert all(Path(row["file"]).parent.name == row["class"] for row in rows)
    for part in ("train", "validation", "test"):
        names = [row["file"] for row in rows if row["part"] == part]
        pixels = np.stack([np.asarray(Image.open(folder / name)) for name in names])
        np.testing.assert_array_equal(pixels, getattr(dataset, part).images)


@pytest.mark.parametrize("classes", [None, ["2", "0"]])
@pytest.mark.parametrize("missing", [(), (1, 7)])
def test_an_index_finds_the_image_in_the_arrays(tmp_path: Path, classes: Any, missing: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    arrays = {part: random.integers(0, 256, (60, 4, 4, 3), dtype=np.uint8) for part in ("train", "test")}
    labels: dict[str, Any] = {part: np.arange(60) % 3.0 for part in arrays}
    labels["train"][list(missing)] = np.nan
    named: dict[str, Any] = {f"x_{part}": arrays[part] for part in arrays}
    named |= {f"y_{part}": labels[part] for part in labels}
    np.savez(tmp_path / "arrays.npz", **named)
    dataset = load_dataset(DataConfig(path=str(tmp_path / "arrays.npz"), validation=6, classes=classes), 0)
    write_parts(tmp_path / "split.csv", dataset)
    rows = read(tmp_path / "split.csv")
    assert {row["file"].split("[")[0] for row in rows} == {"train", "test"}
    for part in ("train", "validation", "test"):
        chosen = [row for row in rows if row["part"] == part]
        places = [(row["file"].split("[")[0], int(row["file"].split("[")[1].rstrip("]"))) for row in chosen]
        assert [int(labels[source][index]) for source, index in places] == [int(row["class"]) for row in chosen]
        pixels = np.stack([arrays[source][index] for source, index in places])
        np.testing.assert_array_equal(pixels, getattr(dataset, part).images)


def test_it_is_written_again_only_if_something_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "split.csv"

    def write(validation: int) -> tuple[int, bytes]:
        write_parts(path, load_dataset(DataConfig(name="digits", validation=validation), 0))
        return path.stat().st_ino, path.read_bytes()

    first = write(200)
    assert write(200) == first
    assert write(210)[1] != first[1]
    path.write_text("half", encoding="utf-8")
    assert write(200)[1] == first[1]
    assert [file.name for file in tmp_path.iterdir()] == ["split.csv"]


@pytest.fixture
def large() -> Dataset:
    """Returns a dataset of 70,000 images of one pixel without names."""
    count, parts = 70_000, np.repeat(np.array([0, 2], np.int8), [60_000, 10_000])
    labels = np.arange(count) % 10
    numbers, sizes = np.arange(count, dtype=np.uint64), np.ones((count, 2), np.int32)
    names = tuple(map(str, range(10)))
    preparation = Preparation(1, 1, 1, "pad")
    pixels = np.zeros((count, 1, 1, 1), np.uint8)
    collection = Collection(pixels, labels, parts, numbers, np.arange(count), sizes, (), names, preparation)
    dataset = load_dataset(DataConfig(name="digits"), 0)
    train, validation, test = (
        collection.take(np.arange(start, end), in_memory=True)
        for start, end in ((0, 50_000), (50_000, 60_000), (60_000, 70_000))
    )
    return replace(dataset, train=train, validation=validation, test=test)


def test_a_large_dataset_takes_a_moment(tmp_path: Path, large: Dataset) -> None:
    began = time.process_time()
    write_parts(tmp_path / "split.csv", large)
    assert time.process_time() - began < 1  # 0.1 were measured
    rows = read(tmp_path / "split.csv")
    assert len(rows) == 70_000
    assert (rows[0]["file"], rows[59_999]["file"], rows[60_000]["file"]) == ("train[0]", "train[59999]", "test[0]")
