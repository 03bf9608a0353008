"""A file that says which image is in which part."""

import csv
import io
from pathlib import Path

from searchcnn.data.dataset import PARTS, Dataset
from searchcnn.files import guard_writing, replace_file

COLUMNS = ("file", "class", "part")
"""Its columns: an image as `Split.names` has it, the name of its class, and one of `PARTS`."""


def write_parts(path: Path, dataset: Dataset) -> None:
    """Writes which image of a dataset is in which part, unless the file says so already.

    Args:
        path: The file, ending in ``.csv``.
        dataset: The images.

    Raises:
        StoreError: If it cannot be written.
    """
    content = _format_parts(dataset)
    with guard_writing(path):
        if not path.is_file() or path.read_bytes() != content:
            with replace_file(path) as new:
                new.write_bytes(content)


def _format_parts(dataset: Dataset) -> bytes:
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for part in PARTS:
        split = getattr(dataset, part)
        classes = (dataset.class_names[label] for label in split.labels.tolist())
        table.writerows((name, label, part) for name, label in zip(split.names, classes, strict=True))
    return text.getvalue().encode("utf-8", errors="backslashreplace")
