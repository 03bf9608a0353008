"""Lists the image files that a table names: a CSV or Parquet file of path, label and, if there are parts, part."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from searchcnn.data.image_files import ImageFile, Watch, content
from searchcnn.data.layout import Layout, Place, part_of
from searchcnn.data.missing import doubted, is_missing
from searchcnn.data.reading import MEND, reading
from searchcnn.data.report import Finding
from searchcnn.errors import DataError
from searchcnn.files import stamp

SUFFIXES = (".csv", ".tsv", ".parquet")
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "id"),
    "label": ("label", "class", "class_name", "target", "category", "y"),
    "split": ("split", "part", "set", "subset", "partition"),
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
    columns = {kind: _column(header, names) for kind, names in COLUMNS.items()}
    for kind in ("path", "label"):
        if columns[kind] is None:
            raise DataError(f"{path}: has no column '{kind}', only {', '.join(header) or 'none'}; name one so")
    places, incomplete = [], []
    for number, row in enumerate(rows, 2):
        name, label, split = (_cell(row, columns[kind]) for kind in ("path", "label", "split"))
        part = part_of(split) if split else "train" if columns["split"] is None else None
        if name and label and part:
            places.append(Place(name, part, label))
        else:
            incomplete.append(f"row {number}: {'no path' if not name else 'no label' if not label else _odd(split)}")
    if not places:
        raise DataError(f"{path}: names no images; expected rows of path, label and, if there are parts, split")
    if "train" not in {place.part for place in places}:
        raise DataError(f"{path}: names no images to train on; expected rows whose split is train")
    found = [
        ImageFile(place.path, place.part, place.class_name, partial(content, path.parent / place.path))
        for place in places
    ]
    return found, Layout(places, [*_findings(incomplete), *doubted(place.class_name for place in places)])


def _findings(incomplete: Sequence[str]) -> list[Finding]:
    if not incomplete:
        return []
    what = f"{len(incomplete):,} row{'' if len(incomplete) == 1 else 's'} of the table cannot be used"
    return [Finding("warning", what, "; ".join(incomplete[:3]), "left out")]


def _odd(split: str) -> str:
    return f"split is '{split}', expected train, validation or test" if split else "no split"


def _column(header: Sequence[str], names: Sequence[str]) -> int | None:
    given = [name.strip().lower() for name in header]
    return next((given.index(name) for name in names if name in given), None)


def _cell(row: Sequence[Any], column: int | None) -> str:
    value = row[column] if column is not None and column < len(row) else None
    return "" if is_missing(value) else str(value).strip()


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
    return "\n".join([stamp(path), *(stamp(path.parent / file.place) for file in files)])
