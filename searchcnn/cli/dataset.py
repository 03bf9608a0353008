"""What is in a dataset, for people: a line, and a table of what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from searchcnn.cli.tables import table

if TYPE_CHECKING:
    from searchcnn.data import Report
    from searchcnn.data.report import Level

STYLES = {"note": "dim", "warning": "yellow", "error": "red"}
"""Colour of each level of a finding."""


def report_lines(report: Report, least: Level = "note") -> Iterator[str | Table]:
    """Yields a line on a dataset's size, and the table of what was found in it, if something was.

    Args:
        report: What was found.
        least: The lowest level that is shown.
    """
    height, width, channels = report.shape
    parts = ", ".join(
        f"{sum(counts.values()):,} {part}{' (taken from train)' if part in report.made else ''}"
        for part, counts in report.counts.items()
    )
    classes = max((len(counts) for counts in report.counts.values()), default=0)
    sizes = {tuple(size) for size in report.sizes}
    resized = f" ({report.resize})" if sizes - {(height, width)} else ""
    yield f"{report.source}: {classes} classes, images of {height}x{width}x{channels}{resized}: {parts}"
    levels = list(STYLES)
    shown = [finding for finding in report.findings if levels.index(finding.level) >= levels.index(least)]
    if shown:
        made = table("", "found", "for example", "what to do")
        for finding in shown:
            cells = (finding.level, finding.what, finding.example, finding.remedy)
            made.add_row(*(Text(cell) for cell in cells), style=STYLES[finding.level])
        yield made
