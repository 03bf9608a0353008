"""Images that a table names."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

from searchcnn.data import Dataset
from searchcnn.errors import DataError
from searchcnn.sources import load_dataset
from searchcnn.study import DataConfig

COUNT = 24


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Returns a folder of images named 0.png, 1.png and so on; their pixels are their number."""
    (tmp_path / "images").mkdir()
    for number in range(COUNT):
        Image.fromarray(np.full((4, 4), number, np.uint8)).save(tmp_path / "images" / f"{number}.png")
    return tmp_path


def load(path: Path, **settings: Any) -> Dataset:
    return load_dataset(DataConfig(path=str(path), validation=0.25, test=0.25, **settings), 0)


def rows(split: bool) -> list[tuple[str, ...]]:
    parts = ["Train", "train", "val", "Test"]
    return [
        (f"images/{number}.png", "even" if number % 2 == 0 else "odd", *([parts[number // 2 % 4]] if split else []))
        for number in range(COUNT)
    ]


def write_csv(path: Path, header: tuple[str, ...], lines: list[tuple[str, ...]], **options: Any) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, **options).writerows([header, *lines])
    return path


def write_parquet(path: Path, header: tuple[str, ...], lines: list[tuple[str, ...]]) -> Path:
    parquet.write_table(pyarrow.table(dict(zip(header, map(list, zip(*lines, strict=True)), strict=True))), path)
    return path


WRITERS: list[Callable[..., Path]] = [
    lambda folder, *table: write_csv(folder / "list.csv", *table),
    lambda folder, *table: write_csv(folder / "list.csv", *table, delimiter=";", quoting=csv.QUOTE_ALL),
    lambda folder, *table: write_csv(folder / "list.tsv", *table, delimiter="\t"),
    lambda folder, *table: write_parquet(folder / "list.parquet", *table),
]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("header", [("path", "label", "split"), ("Filename", "Class", "Subset")])
def test_path_label_and_split(images: Path, write: Callable[..., Path], header: tuple[str, ...]) -> None:
    dataset = load(write(images, header, rows(split=True)))
    assert dataset.class_names == ("even", "odd")
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (12, 6, 6)
    for part in (dataset.train, dataset.validation, dataset.test):
        assert np.array_equal(part.images[:, 0, 0, 0] % 2, part.labels)


def test_without_split_the_parts_are_made(images: Path) -> None:
    dataset = load(write_csv(images / "list.csv", ("path", "label"), rows(split=False)))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (12, 6, 6)
    assert dataset.inspection.new_parts == ["validation", "test"]


def test_numbers_as_labels(images: Path) -> None:
    path = images / "list.parquet"
    names, labels = [f"images/{number}.png" for number in range(COUNT)], [number % 2 for number in range(COUNT)]
    parquet.write_table(pyarrow.table({"path": names, "label": labels}), path)
    assert load(path).class_names == ("0", "1")


def test_missing_files_are_listed(images: Path) -> None:
    lines = [*rows(split=False), ("images/99.png", "odd")]
    dataset = load(write_csv(images / "list.csv", ("path", "label"), lines))
    assert str(dataset.inspection.findings[0]).startswith(
        "1 of 25 files cannot be read (images/99.png: No such file or directory); left out, listed in "
    )


def test_incomplete_rows_are_named(images: Path) -> None:
    lines = [("", "odd", "train"), ("images/1.png", "", "train"), ("images/1.png", "odd", "fold 3"), *rows(split=True)]
    report = load(write_csv(images / "list.csv", ("path", "label", "split"), lines)).inspection
    assert str(report.findings[0]) == (
        "3 rows of the table cannot be used (row 2: no path; row 3: no label; row 4: split is 'fold 3', expected "
        "train, validation or test); left out"
    )


@pytest.mark.parametrize("write", WRITERS)
def test_parts_in_a_column_of_any_name(images: Path, write: Callable[..., Path]) -> None:
    dataset = load(write(images, ("path", "label", "data set"), rows(split=True)))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (12, 6, 6)
    notes = [str(finding) for finding in dataset.inspection.findings if finding.level == "note"]
    assert "parts are taken from column 'data set'" in notes


def test_a_column_of_true_and_false(images: Path) -> None:
    names, labels = [f"images/{number}.png" for number in range(COUNT)], [number % 2 for number in range(COUNT)]
    is_valid = [number >= 18 for number in range(COUNT)]
    parquet.write_table(pyarrow.table({"path": names, "label": labels, "is_valid": is_valid}), images / "list.parquet")
    dataset = load(images / "list.parquet")
    assert set(dataset.validation.images.ravel()) == set(range(18, 24))
    assert dataset.inspection.new_parts == ["test"]
    lines: list[tuple[str, ...]] = [(*row, str(mark)) for row, mark in zip(rows(split=False), is_valid, strict=True)]
    other = load(write_csv(images / "list.csv", ("path", "label", "is_valid"), lines))
    assert np.array_equal(other.validation.images, dataset.validation.images)


def test_another_division_is_another_dataset(images: Path) -> None:
    usual, marked = rows(split=False), rows(split=True)
    paths = [write_csv(images / "usual.csv", ("path", "label"), usual)]
    paths.append(write_csv(images / "marked.csv", ("path", "label", "phase"), marked))
    assert len({load(path).fingerprint for path in paths}) == 2  # so that a study is not continued on the other


def test_parts_as_labels(images: Path) -> None:
    lines: list[tuple[str, ...]] = [(name, part) for name, _, part in rows(split=True)]
    with pytest.raises(DataError, match="column 'class' holds parts, not classes; name the columns label and split"):
        load(write_csv(images / "list.csv", ("path", "class"), lines))


def test_only_images_to_validate(images: Path) -> None:
    lines: list[tuple[str, ...]] = [(*row, "True") for row in rows(split=False)]
    with pytest.raises(
        DataError, match=r"no images to train on \(parts are taken from column 'is_valid'\); expected rows"
    ):
        load(write_csv(images / "list.csv", ("path", "label", "is_valid"), lines))


def test_bytes_in_parquet(images: Path) -> None:
    names, labels, parts = (list(column) for column in zip(*rows(split=True), strict=True))
    table = {"path": [name.encode() for name in names], "label": [f"{label} é".encode() for label in labels]}
    other = {"split": [part.encode() for part in parts], "hash": [b"\xff\xfe"] * COUNT}
    parquet.write_table(pyarrow.table({**table, **other}), images / "list.parquet")
    dataset = load(images / "list.parquet")
    assert dataset.class_names == ("even é", "odd é")
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (12, 6, 6)


def test_columns_without_a_name_and_of_almost_one_name(images: Path) -> None:
    lines: list[tuple[str, ...]] = [(name, label, part, "", "0", "1") for name, label, part in rows(split=True)]
    dataset = load(write_csv(images / "list.csv", ("path", "label", "", "", "y", "Y"), lines))
    assert not dataset.inspection.new_parts
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (12, 6, 6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,label,split,split \na.png,x,test,train\n", "has 2 columns 'split', expected one; rename or delete the"),
        (b"path,label,label\na.png,x,y\n", "has 2 columns 'label', expected one"),
        (b"path,Label,label\na.png,x,y\n", "has 2 columns 'label', expected one"),
        (b"", "has no column 'path', it is empty; add a header and rows"),
        (b"path,quality\na.png,3\n", "has no column 'label', only path, quality; rename one of them"),
        (b"path,label\n", "names no images; expected rows of path, label"),
        (b"path,label,split\na.png,x,test\n", "names no images to train on; expected rows whose split is train"),
        (b'path,label\n"a.png,x\n', "expected a table in UTF-8 with the columns path, label"),
        (b"\xff\xfe\x00", "expected a table in UTF-8 with the columns path, label"),
    ],
)
def test_wrong_tables(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(tmp_path / "list.csv")
    assert str(caught.value).startswith(f"{tmp_path / 'list.csv'}: {message}")


def test_damaged_parquet(tmp_path: Path) -> None:
    (tmp_path / "list.parquet").write_bytes(b"PAR1 no table PAR1")
    with pytest.raises(DataError, match=r"list.parquet: expected a table in UTF-8 with the columns path, label"):
        load(tmp_path / "list.parquet")


def test_a_table_that_changes_is_read_again(images: Path) -> None:
    first = load(write_csv(images / "list.csv", ("path", "label"), rows(split=False)))
    second = load(write_csv(images / "list.csv", ("path", "label"), rows(split=False)[:-2]))
    Image.fromarray(np.full((4, 4), 200, np.uint8)).save(images / "images" / "0.png")
    third = load(images / "list.csv")
    assert len({first.fingerprint, second.fingerprint, third.fingerprint}) == 3


CELLS = st.one_of(
    st.sampled_from(
        ["images/1.png", "images/2.png", "images", "..", "", "odd", "even", "train", "test", "val", "\0", "/dev/null"]
    ),
    st.text(max_size=8),
)
HEADERS = st.lists(st.sampled_from(["path", "label", "split", "class", "x", "", "Path "]), max_size=4)


def quoted(table: list[list[str]]) -> str:
    file = io.StringIO()
    csv.writer(file).writerows(table)
    return file.getvalue()


TABLES = st.one_of(
    st.binary(max_size=80),
    st.text(max_size=80).map(str.encode),
    st.builds(
        lambda header, lines: quoted([header, *lines]).encode("utf-8", "surrogatepass"),
        HEADERS,
        st.lists(st.lists(CELLS, max_size=4), max_size=8),
    ),
)


@example(b"path,label\rimages/0.png,\x00\r\x00\x0b\x00,\x00")
@given(TABLES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_a_table(images: Path, content: bytes) -> None:
    (images / "list.csv").write_bytes(content)
    try:
        load(images / "list.csv", max_unreadable=1.0)
    except DataError as error:
        assert str(error).startswith(str(images / "list.csv"))
        assert len(str(error).splitlines()) == 1


def test_paths_of_windows(images: Path) -> None:
    lines: list[tuple[str, ...]] = [(name.replace("/", "\\"), label) for name, label in rows(split=False)]
    dataset = load(write_csv(images / "list.csv", ("path", "label"), lines))
    usual = load(write_csv(images / "usual.csv", ("path", "label"), rows(split=False)))
    assert dataset.fingerprint == usual.fingerprint
    assert "24 paths of the table are matched to files (images\\0.png is images/0.png)" in map(
        str, dataset.inspection.findings
    )


@pytest.mark.parametrize("table", ["images/list.csv", "list.csv", "images.csv"])
def test_ids_without_an_ending(images: Path, table: str) -> None:
    (images / "images" / "0.txt").write_text("no image")
    lines: list[tuple[str, ...]] = [(str(number), "even" if number % 2 == 0 else "odd") for number in range(COUNT)]
    if table == "images.csv":  # the folder of its name, though another holds such files
        (images / "small").mkdir()
        (images / "small" / "0.png").write_bytes(b"")
    dataset = load(write_csv(images / table, ("id", "label"), lines))
    assert np.array_equal(dataset.train.images[:, 0, 0, 0] % 2, dataset.train.labels)
    assert len(dataset.train) == 12
    assert [finding.level for finding in dataset.inspection.findings if "matched to files" in finding.what] == ["note"]


def test_an_id_of_several_files_is_not_guessed(images: Path) -> None:
    Image.fromarray(np.full((4, 4), 99, np.uint8)).save(images / "images" / "0.bmp")
    lines: list[tuple[str, ...]] = [(f"images/{number}", "odd" if number % 2 else "even") for number in range(COUNT)]
    findings = load(write_csv(images / "list.csv", ("id", "label"), lines)).inspection.findings
    assert "1 of 24 files cannot be read (images/0: No such file or directory)" in str(findings[0])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("C:\\Users\\me\\{}.png", "these are of another computer"),
        ("/home/me/{}.png", "these are of another computer"),
        ("pictures/{}.png", "or move the table to the folder that they begin at"),
    ],
)
def test_files_that_are_not_there(images: Path, name: str, hint: str) -> None:
    lines: list[tuple[str, ...]] = [(name.format(number), "a") for number in range(3)]
    with pytest.raises(DataError) as error:
        load(write_csv(images / "list.csv", ("path", "label"), lines))
    assert str(error.value) == (
        f"{images}/list.csv: none of its files is there, for example {name.format(0)}; write paths from the table's "
        f"folder on, {hint}"
    )


def test_several_folders_with_such_files(images: Path) -> None:
    (images / "small").mkdir()
    (images / "small" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match="0 is in the folders images and small; write paths from the table's folder on"):
        load(write_csv(images / "list.csv", ("id", "label"), [("0", "a"), ("1", "b")]))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark(images: Path, encoding: str) -> None:
    path = write_csv(images / "list.csv", ("path", "label"), rows(split=False))
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    assert load(path).class_names == ("even", "odd")
