"""What is in a dataset, for people: a line, a table of what is wrong with it, and how far it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.table import Table
from rich.text import Text

from searchcnn.data import ImagesInspected
from searchcnn.events import Event, Note, Progress
from searchcnn.views.tables import console, show, table

if TYPE_CHECKING:
    from searchcnn.data import Inspection
    from searchcnn.data.findings import Level

STYLES = {"note": "dim", "warning": "yellow", "error": "red"}
"""Colour of each level of a finding."""


class Reading:
    """Shows, while the body of a ``with`` runs, how far images are read, and then what was found in them.

    Args:
        quiet: Whether nothing is shown.
        least: The lowest level of a finding that is shown.

    Attributes:
        is_told: Whether it was shown what was found.
    """

    def __init__(self, quiet: bool = False, least: Level = "warning") -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        shown = console()
        self._progress = Progress(
            *columns, console=shown, transient=True, redirect_stdout=False, disable=quiet or not shown.is_terminal
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
                self._print(report_lines(inspection, self._least))
            case Note(text):
                self._print([text])

    def _move(self, text: str, done: float | None) -> None:
        if text != self._text:  # a bar of its own: what remains is reckoned from what it has done
            self._text = text
            for task in self._progress.task_ids:
                self._progress.remove_task(task)
            self._progress.add_task(text, total=1.0)
        self._progress.update(self._progress.task_ids[0], completed=done)

    def _print(self, lines: Iterable[str | Table]) -> None:
        self._progress.stop()
        if not self._quiet:
            show(lines)


def report_lines(inspection: Inspection, least: Level = "note") -> Iterator[str | Table]:
    """Yields a line on a dataset's size, and the table of what was found in it, if something was.

    Args:
        inspection: What was found.
        least: The lowest level that is shown.
    """
    yield size_line(inspection)
    levels = list(STYLES)
    shown = [finding for finding in inspection.findings if levels.index(finding.level) >= levels.index(least)]
    if shown:
        made = table("", "found", "for example", "what to do")
        for finding in shown:
            cells = (finding.level, finding.what, finding.example, finding.remedy)
            made.add_row(*(Text(cell, overflow="fold") for cell in cells), style=STYLES[finding.level])
        yield made


def size_line(inspection: Inspection) -> str:
    """Returns how many classes and images of which size a dataset has, and in which parts."""
    height, width, channels = inspection.shape
    number = max((len(counts) for counts in inspection.counts.values()), default=0)
    classes = f"{number} class{'' if number == 1 else 'es'}"
    sizes = {tuple(size) for size in inspection.sizes}
    resized = f" ({inspection.resize})" if sizes - {(height, width)} else ""
    return (
        f"{inspection.source}: {classes}, images of {height}x{width}x{channels}{resized}: {inspection.describe_parts()}"
    )


def class_table(inspection: Inspection) -> Table:
    """Returns the number of images of each class by part, and their sums."""
    parts = list(inspection.counts)
    made = table("class", *parts, right=parts)
    for name in inspection.counts["train"]:
        made.add_row(Text(name), *(f"{inspection.counts[part].get(name, 0):,}" for part in parts))
    made.add_section()
    made.add_row(Text("all", style="bold"), *(f"{sum(inspection.counts[part].values()):,}" for part in parts))
    return made
