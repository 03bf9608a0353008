"""Shows what is in a dataset: a line, a table of what is wrong with it, and the progress of reading it."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.table import Table
from rich.text import Text

from searchcnn.views.tables import make_console, make_table, print_lines

if TYPE_CHECKING:
    from searchcnn.data import Report
    from searchcnn.data.findings import Level

STYLES = {"note": "dim", "warning": "yellow", "error": "red"}
"""Colour of each level of a finding."""


class Reading:
    """Shows how many images are read while the body of a ``with`` runs, and then what was found in them.

    Args:
        quiet: Whether to show nothing.
        least: The lowest level of findings to show.

    Attributes:
        is_told: Whether the findings have been shown.
    """

    def __init__(self, quiet: bool = False, least: Level = "warning") -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        console = make_console()
        self._progress = Progress(
            *columns, console=console, transient=True, redirect_stdout=False, disable=quiet or not console.is_terminal
        )
        self._quiet = quiet
        self._least: Level = least
        self._text = ""
        self.is_told = False

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def watch(self, text: str, done: float) -> None:
        """Shows the progress; see `searchcnn.data.decoding.Watch`."""
        if text != self._text:  # a new bar: Rich estimates the remaining time from the bar's own progress
            self._text = text
            for task in self._progress.task_ids:
                self._progress.remove_task(task)
            self._progress.add_task(text, total=1.0)
        self._progress.update(self._progress.task_ids[0], completed=done)

    def tell(self, report: Report) -> None:
        """Shows what was found."""
        self._progress.stop()
        self.is_told = True
        if not self._quiet:
            print_lines(format_report(report, self._least))

    def say(self, text: str) -> None:
        """Shows a line."""
        self._progress.stop()
        if not self._quiet:
            print_lines([text])


def format_report(report: Report, least: Level = "note") -> Iterator[str | Table]:
    """Yields a line on a dataset's size, and a table of what was found in it, if anything was.

    Args:
        report: What was found.
        least: The lowest level of findings to show.
    """
    yield format_size(report)
    levels = list(STYLES)
    findings = [finding for finding in report.findings if levels.index(finding.level) >= levels.index(least)]
    if findings:
        table = make_table("", "found", "for example", "what to do")
        for finding in findings:
            cells = (finding.level, finding.what, finding.example, finding.remedy)
            table.add_row(*(Text(cell, overflow="fold") for cell in cells), style=STYLES[finding.level])
        yield table


def format_size(report: Report) -> str:
    """Returns the number of classes, the size of the images, and the number of images in each part."""
    height, width, channels = report.shape
    number = max((len(counts) for counts in report.counts.values()), default=0)
    classes = f"{number} class{'' if number == 1 else 'es'}"
    sizes = {tuple(size) for size in report.sizes}
    resized = f" ({report.resize})" if sizes - {(height, width)} else ""
    return f"{report.source}: {classes}, images of {height}x{width}x{channels}{resized}: {report.parts()}"


def make_class_table(report: Report) -> Table:
    """Returns a table with the number of images of each class in each part, and their sums."""
    parts = list(report.counts)
    table = make_table("class", *parts, right=parts)
    for name in report.counts["train"]:
        table.add_row(Text(name), *(f"{report.counts[part].get(name, 0):,}" for part in parts))
    table.add_section()
    table.add_row(Text("all", style="bold"), *(f"{sum(report.counts[part].values()):,}" for part in parts))
    return table
