"""Shows images that are likely filed under the wrong class."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING

from rich.text import Text

from searchcnn.views.tables import make_table

if TYPE_CHECKING:
    from rich.table import Table

    from searchcnn.results import LabelError

MAX_ROWS = 40
"""Number of images that are listed in a terminal."""
COLUMNS = ("image", "class", "looks like", "probability", "probability of class")


def describe_label_errors(errors: Sequence[LabelError], images: str) -> Iterator[str | Table]:
    """Yields a table of images, and a line on how many there are.

    Args:
        errors: The images, the most likely first.
        images: Among which images they were found, for people.
    """
    if errors:
        table = make_table("image", "filed under", "looks like", "sure", "of its class", right=("sure", "of its class"))
        for error in errors[:MAX_ROWS]:
            cells = (Text(text, overflow="fold") for text in (error.name, error.label, error.suggested))
            table.add_row(*cells, f"{error.probability:.1%}", f"{error.probability_of_label:.1%}")
        yield table
    more = f"; the first {MAX_ROWS} are shown, --csv has all" if len(errors) > MAX_ROWS else ""
    yield f"{len(errors):,} of {images} may be filed under the wrong class{more}"


def write_label_table(errors: Sequence[LabelError]) -> None:
    """Writes the images to standard output as CSV."""
    table = csv.writer(sys.stdout)
    table.writerow(COLUMNS)
    table.writerows(map(astuple, errors))
