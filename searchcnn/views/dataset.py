"""Shows what is in a dataset: a line, a table of what is wrong with it, and the progress of reading it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.table import Table
from rich.text import Text

from searchcnn.data import ImagesInspected
from searchcnn.events import Event, Note, Progress
from searchcnn.text import format_count
from searchcnn.views.tables import make_console, make_table, print_lines

if TYPE_CHECKING:
    from searchcnn.data import Inspection
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

    def hear(self, event: Event) -> None:
        """Shows how far it is, what was found, and notes."""
        match event:
            case Progress(text, done):
                self._move(text, done)
            case ImagesInspected(inspection):
                self.is_told = True
                self._print(format_inspection(inspection, self._least))
            case Note(text):
                self._print([text])

    def _move(self, text: str, done: float | None) -> None:
        self._progress.start()  # where something was printed, it was stopped
        if text != self._text:  # a bar of its own: what remains is reckoned from what it has done
            self._text = text
            for task in self._progress.task_ids:
                self._progress.remove_task(task)
            self._progress.add_task(text, total=1.0)
        self._progress.update(self._progress.task_ids[0], completed=done)

    def _print(self, lines: Iterable[str | Table]) -> None:
        self._progress.stop()
        if not self._quiet:
            print_lines(lines)


def format_inspection(inspection: Inspection, least: Level = "note") -> Iterator[str | Table]:
    """Yields a line on a dataset's size, and a table of what was found in it, if anything was.

    Args:
        inspection: What was found.
        least: The lowest level of findings to show.
    """
    yield format_size(inspection)
    levels = list(STYLES)
    findings = [finding for finding in inspection.findings if levels.index(finding.level) >= levels.index(least)]
    if findings:
        table = make_table("", "found", "for example", "what to do")
        for finding in findings:
            cells = (finding.level, finding.what, finding.example, finding.remedy)
            table.add_row(*(Text(cell, overflow="fold") for cell in cells), style=STYLES[finding.level])
        yield table


def format_size(inspection: Inspection) -> str:
    """Returns the number of classes, the size of the images, and the number of images in each part."""
    height, width, channels = inspection.shape
    number = max((len(counts) for counts in inspection.counts.values()), default=0)
    classes = format_count(number, "class")
    sizes = {tuple(size) for size in inspection.sizes}
    resized = f" ({inspection.resize})" if sizes - {(height, width)} else ""
    return (
        f"{inspection.source}: {classes}, images of {height}x{width}x{channels}{resized}: {inspection.describe_parts()}"
    )


def make_class_table(inspection: Inspection) -> Table:
    """Returns a table with the number of images of each class in each part, and their sums."""
    parts = list(inspection.counts)
    table = make_table("class", *parts, right=parts)
    for name in inspection.counts["train"]:
        table.add_row(Text(name), *(f"{inspection.counts[part].get(name, 0):,}" for part in parts))
    table.add_section()
    table.add_row(Text("all", style="bold"), *(f"{sum(inspection.counts[part].values()):,}" for part in parts))
    return table
