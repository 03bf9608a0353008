"""Lists the image files that are named in a table: a CSV or Parquet file of paths, labels and, optionally, parts."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from searchcnn.data.decoding import ImageFile, read_file
from searchcnn.data.findings import Finding
from searchcnn.errors import DataError
from searchcnn.events import Hear, ignore
from searchcnn.files import read_change_marker, read_text
from searchcnn.sources.layout import LabelledPath, Layout
from searchcnn.sources.missing import find_doubtful_labels, is_missing
from searchcnn.sources.parts import parse_part
from searchcnn.sources.paths import check_files, find_files
from searchcnn.sources.reading import FIX, explain_errors
from searchcnn.sources.rows import Assignment, assign_parts
from searchcnn.text import format_count

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "id"),
    "label": ("label", "class", "class_name", "target", "category", "y"),
}
"""Names of the columns as people write them, in lower case; the first one that exists is used."""


def holds(path: Path) -> bool:
    """Whether a file is a table, judging by its name."""
    return path.is_file() and path.name.lower().endswith(TABLE_SUFFIXES)


def list_images(path: Path, _folder: Path | None = None, _hear: Hear = ignore) -> tuple[list[ImageFile], Layout]:
    """Lists the images that are named in a table; their paths are relative to its folder.

    Raises:
        DataError: If the table is damaged or lacks a column or rows.
    """
    with explain_errors(path, "a table in UTF-8 with the columns path, label and, optionally, split", FIX):
        header, rows = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    _check_unique(path, [name.strip() for name in header])
    path_index, label_index = (_find_column(path, header, kind) for kind in COLUMNS)
    cells = [[_read_cell(row, column) for column in range(len(header))] for row in rows]
    names, labels = ([row[column] for row in cells] for column in (path_index, label_index))
    _check_labels(path, header[label_index], labels)
    with explain_errors(path, "a table of files in folders that can be read", FIX):
        names, found = find_files(path, names)
    others = {
        header[column].strip() or f"number {column + 1}": [row[column] for row in cells]
        for column in range(len(header))
        if column not in (path_index, label_index)
    }
    assignment = assign_parts(path, names, others)
    images, incomplete = _label_paths(names, labels, assignment)
    if not images:
        raise DataError(f"{path}: names no images; expected rows of path, label and, optionally, split")
    if "train" not in {image.part for image in images}:
        notes = "".join(f" ({finding.what})" for finding in assignment.findings if finding.level == "note")
        raise DataError(f"{path}: names no images to train on{notes}; expected rows whose split is train")
    check_files(path, [image.path for image in images])
    files = [ImageFile(*image, partial(read_file, path.parent / image.path)) for image in images]
    doubts = find_doubtful_labels(image.class_name for image in images)
    return files, Layout(images, [*_describe_incomplete(incomplete), *found, *assignment.findings, *doubts])


def _label_paths(
    names: Sequence[str], labels: Sequence[str], assignment: Assignment
) -> tuple[list[LabelledPath], list[str]]:
    """Returns the images that are named in rows, and what the other rows lack."""
    images, incomplete = [], []
    for number, (name, label, part, reason) in enumerate(
        zip(names, labels, assignment.parts, assignment.reasons, strict=True), 2
    ):
        if name and label and part:
            images.append(LabelledPath(name, part, label))
        else:
            incomplete.append(f"row {number}: {'no path' if not name else 'no label' if not label else reason}")
    return images, incomplete


def _check_unique(path: Path, names: Sequence[str]) -> None:
    """Raises an error if columns have the same name: any of them may be meant."""
    for name, count in Counter(names).items():
        if name and count > 1:
            raise DataError(f"{path}: has {count} columns '{name}', expected one; rename or delete the others")


def _check_labels(path: Path, name: str, labels: Sequence[str]) -> None:
    """Raises an error if the column of labels holds parts: a network would learn to tell them apart."""
    parts = {parse_part(label) for label in labels if label}
    if len(parts) > 1 and None not in parts:
        raise DataError(f"{path}: column '{name}' holds parts, not classes; name the columns label and split")


def _describe_incomplete(incomplete: Sequence[str]) -> list[Finding]:
    if not incomplete:
        return []
    what = f"{format_count(len(incomplete), 'row')} of the table cannot be used"
    return [Finding("warning", what, "; ".join(incomplete[:3]), "left out")]


def _find_column(path: Path, header: Sequence[str], kind: str) -> int:
    names = [name.strip().lower() for name in header]
    name = next((name for name in COLUMNS[kind] if name in names), None)
    if name is None:
        columns = f"only {', '.join(header)}; rename one of them" if header else "it is empty; add a header and rows"
        raise DataError(f"{path}: has no column '{kind}', {columns}")
    _check_unique(path, [other for other in names if other == name])
    return names.index(name)


def _read_cell(row: Sequence[Any], column: int) -> str:
    value = row[column] if column < len(row) else None
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
    return "" if is_missing(text) else str(text).strip()


def _read_csv(path: Path) -> tuple[list[str], Iterator[Sequence[str]]]:
    text = read_text(path)
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    return (rows[0], (row for row in rows[1:] if row)) if rows else ([], iter(()))


def _read_parquet(path: Path) -> tuple[list[str], Iterator[Sequence[Any]]]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise DataError(
            f"{path}: pyarrow is needed to read Parquet; pip install 'searchcnn[parquet]', or save it as .csv"
        ) from None
    table = parquet.read_table(path)
    columns = [column.to_pylist() for column in table.columns]
    return table.column_names, zip(*columns, strict=True)


def compute_signature(path: Path) -> str:
    """Returns a text that changes when the table, or a file that is named in it, is written."""
    files, _ = list_images(path)
    return "\n".join([read_change_marker(path), *(read_change_marker(path.parent / file.name) for file in files)])
