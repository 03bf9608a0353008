"""Lists the image files that a table names: a CSV or Parquet file of path, label and, if there are parts, part."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from searchcnn.data.decoding import ImageFile, Watch, content
from searchcnn.data.findings import Finding
from searchcnn.errors import DataError
from searchcnn.files import read_change_marker
from searchcnn.sources.layout import Layout, Place
from searchcnn.sources.missing import doubted, is_missing
from searchcnn.sources.parts import part_of
from searchcnn.sources.reading import MEND, reading
from searchcnn.sources.rows import Division, divide_rows

SUFFIXES = (".csv", ".tsv", ".parquet")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "id"),
    "label": ("label", "class", "class_name", "target", "category", "y"),
}
"""Names of the columns as people write them, in lower case; the first that is there is taken."""


def holds(path: Path) -> bool:
    """Whether a file is a table, by its name."""
    return path.is_file() and path.name.lower().endswith(SUFFIXES)


def list_images(path: Path, _folder: Path | None = None, _watch: Watch | None = None) -> tuple[list[ImageFile], Layout]:
    """Lists the images that a table names; their paths are relative to its folder.

    Raises:
        DataError: If it is damaged, or lacks a column or rows.
    """
    with reading(path, "a table in UTF-8 with the columns path, label and, if there are parts, split", MEND):
        header, rows = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    _check_unique(path, [name.strip() for name in header])
    path_at, label_at = (_column(path, header, kind) for kind in COLUMNS)
    cells = [[_cell(row, column) for column in range(len(header))] for row in rows]
    names, labels = ([row[column] for row in cells] for column in (path_at, label_at))
    _check_labels(path, header[label_at], labels)
    others = {
        header[at].strip() or f"number {at + 1}": [row[at] for row in cells]
        for at in range(len(header))
        if at not in (path_at, label_at)
    }
    division = divide_rows(path, names, others)
    places, incomplete = _places(names, labels, division)
    if not places:
        raise DataError(f"{path}: names no images; expected rows of path, label and, if there are parts, split")
    if "train" not in {place.part for place in places}:
        told = "".join(f" ({finding.what})" for finding in division.findings if finding.level == "note")
        raise DataError(f"{path}: names no images to train on{told}; expected rows whose split is train")
    found = [
        ImageFile(place.path, place.part, place.class_name, partial(content, path.parent / place.path))
        for place in places
    ]
    doubts = doubted(place.class_name for place in places)
    return found, Layout(places, [*_findings(incomplete), *division.findings, *doubts])


def _places(names: Sequence[str], labels: Sequence[str], division: Division) -> tuple[list[Place], list[str]]:
    """Returns the images that rows name, and what the other rows lack."""
    places, incomplete = [], []
    for number, (name, label, part, why) in enumerate(zip(names, labels, *division[:2], strict=True), 2):
        if name and label and part:
            places.append(Place(name, part, label))
        else:
            incomplete.append(f"row {number}: {'no path' if not name else 'no label' if not label else why}")
    return places, incomplete


def _check_unique(path: Path, names: Sequence[str]) -> None:
    """Raises an error where columns have one name: any of them may be meant."""
    for name, count in Counter(names).items():
        if name and count > 1:
            raise DataError(f"{path}: has {count} columns '{name}', expected one; rename or delete the others")


def _check_labels(path: Path, name: str, labels: Sequence[str]) -> None:
    """Raises an error where the column of labels holds parts: a network would learn to tell them apart."""
    parts = {part_of(label) for label in labels if label}
    if len(parts) > 1 and None not in parts:
        raise DataError(f"{path}: column '{name}' holds parts, not classes; name the columns label and split")


def _findings(incomplete: Sequence[str]) -> list[Finding]:
    if not incomplete:
        return []
    what = f"{len(incomplete):,} row{'' if len(incomplete) == 1 else 's'} of the table cannot be used"
    return [Finding("warning", what, "; ".join(incomplete[:3]), "left out")]


def _column(path: Path, header: Sequence[str], kind: str) -> int:
    given = [name.strip().lower() for name in header]
    found = next((given.index(name) for name in COLUMNS[kind] if name in given), None)
    if found is None:
        raise DataError(f"{path}: has no column '{kind}', only {', '.join(header) or 'none'}; name one so")
    _check_unique(path, [name for name in given if name == given[found]])
    return found


def _cell(row: Sequence[Any], column: int) -> str:
    value = row[column] if column < len(row) else None
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
    return "" if is_missing(text) else str(text).strip()


def _csv(path: Path) -> tuple[list[str], Iterator[Sequence[str]]]:
    text = path.read_text(encoding="utf-8-sig")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    return (rows[0], (row for row in rows[1:] if row)) if rows else ([], iter(()))


def _parquet(path: Path) -> tuple[list[str], Iterator[Sequence[Any]]]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            f"{path}: pyarrow is needed to read Parquet; pip install 'searchcnn[parquet]', or save it as .csv"
        ) from None
    table = parquet.read_table(path)
    columns = [column.to_pylist() for column in table.columns]
    return table.column_names, zip(*columns, strict=True)


def signature(path: Path) -> str:
    """Returns a text that changes when the table, or a file that it names, is written."""
    files, _ = list_images(path)
    return "\n".join([read_change_marker(path), *(read_change_marker(path.parent / file.place) for file in files)])
