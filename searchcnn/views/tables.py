"""Tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from searchcnn.text import format_amount, format_duration, format_note, format_score

if TYPE_CHECKING:
    from searchcnn.results.scores import ClassScore
    from searchcnn.sources.listing import DatasetInfo
    from searchcnn.spaces import Plugin
    from searchcnn.store import SpaceSummary, TrialSummary
    from searchcnn.testing import Result

STYLES: Mapping[str, str] = {
    "COMPLETE": "green",
    "PRUNED": "yellow",
    "FAIL": "red",
    "RUNNING": "cyan",
    "WAITING": "dim",
}
"""Colour of each trial state."""
UNUSABLE = "UNUSABLE"
"""How a point is shown that is PRUNED because it cannot be trained."""
SIGNS: Mapping[str, str] = {
    "COMPLETE": "✓",
    "PRUNED": "◐",
    UNUSABLE: "○",
    "FAIL": "✗",
    "RUNNING": "▸",
    "WAITING": "·",
}
"""The sign of each trial state."""
MARKS: Mapping[str, tuple[str, str]] = {"passed": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("-", "yellow")}
"""The mark and the style of each status of a check."""
LONGEST_HEADING = 14
"""Width in characters from which on a heading may take several lines."""
EDGES, GAP = 2, 2
"""Width in characters of both edges of a table that fits any width, and of what is between two of its columns."""
SHORTEST_NOTE = 16
"""Width in characters without which a note is left out."""
BEST, TIE = "★ ", "≈ "
"""Marks of the best trial, and of those that are as good."""
PIPED_WIDTH = 160
"""Width in characters of a table that is not shown in a terminal."""


def make_console() -> Console:
    """Returns a console to print tables on: as wide as the terminal, or wide enough for grep if there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPED_WIDTH)


@dataclass(frozen=True)
class Column:
    """A column of a table that fits any width.

    Attributes:
        heading: Its heading, which may take several lines.
        cells: Its cells, each in one line.
        importance: Its place among the columns, 0 for the one that is left out last.
        is_number: Whether it is aligned right.
        least: The width in characters to which it may be cut; 0 if it may not.
    """

    heading: str
    cells: Sequence[Text]
    importance: int
    is_number: bool = True
    least: int = 0

    @property
    def width(self) -> int:
        """The width in characters that shows it whole."""
        return max(self._cells_width, cell_len(self.heading))

    @property
    def least_width(self) -> int:
        """The width in characters without which it is left out."""
        cells = min(self._cells_width, self.least or self._cells_width)
        return max(cells, min(cell_len(self.heading), LONGEST_HEADING))

    @property
    def _cells_width(self) -> int:
        return max((cell_len(cell.plain) for cell in self.cells), default=0)


@dataclass(frozen=True)
class FittingTable:
    """A table that fits any width: the least important columns are left out, and a line says so.

    Attributes:
        columns: Its columns.
        styles: The style of each row.
    """

    columns: Sequence[Column]
    styles: Sequence[str]

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draws it in the width that there is."""
        widths = self.fit(options.max_width)
        shown = [column for column in self.columns if column.heading in widths]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for column in shown:
            align: Any = "right" if column.is_number else "left"
            table.add_column(Text(column.heading, overflow="fold"), justify=align, width=widths[column.heading])
        for style, *cells in zip(self.styles, *(column.cells for column in shown), strict=True):
            table.add_row(*cells, style=style)
        yield table
        if missing := [column.heading for column in self.columns if column not in shown]:
            yield Text(f"not shown in {options.max_width} columns: {', '.join(missing)}", style="dim")

    def fit(self, width: int) -> dict[str, int]:
        """Returns the widths of the columns that have a place in the width of a table, by heading.

        Args:
            width: The width of the table, in characters.
        """
        left, widths = width - EDGES + GAP, dict[str, int]()
        for column in sorted(self.columns, key=lambda column: column.importance):
            if column.least_width + GAP <= left:
                left -= column.least_width + GAP
                widths[column.heading] = column.least_width
        for column in sorted(self.columns, key=lambda column: not column.least):  # cells first, then headings
            if column.heading in widths:
                more = min(left, column.width - widths[column.heading])
                left, widths[column.heading] = left - more, widths[column.heading] + more
        return widths


def print_lines(lines: Iterable[RenderableType]) -> None:
    """Prints lines, which are never broken, and tables."""
    for line in lines:
        if isinstance(line, str):
            click.echo(line)
        else:
            make_console().print(line)


def show_status(text: str, quiet: bool) -> AbstractContextManager[Any]:
    """Shows what is going on while the body runs; only in a terminal, and unless quiet."""
    console = make_console()
    return console.status(text) if console.is_terminal and not quiet else nullcontext()


def make_table(*columns: str, right: Sequence[str] = ()) -> Table:
    """Returns an empty table.

    Args:
        columns: Headings.
        right: Headings of the columns that are aligned right, such as numbers.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=column in right)
    return table


def make_trial_table(
    trials: Sequence[TrialSummary],
    metric: str,
    best: int | None,
    gaps: Mapping[int, float] | None = None,
    ties: Iterable[TrialSummary] = (),
) -> FittingTable:
    """Returns a table of trials, with the best one marked.

    Args:
        trials: The trials.
        metric: The objective.
        best: The number of the best trial; None before the first.
        gaps: By number, how much better the objective is in training than in validation.
        ties: Trials that are as good as the best one.
    """
    marks = dict.fromkeys((trial.number for trial in ties), TIE) | ({} if best is None else {best: BEST})
    gaps, facts = gaps or {}, [trial.facts for trial in trials]
    states = [UNUSABLE if trial.is_unusable else trial.state for trial in trials]
    is_alone = len({trial.space for trial in trials if trial.space}) < 2
    columns = (
        Column("trial", [Text(f"{marks.get(trial.number, '')}{trial.number}") for trial in trials], 0),
        Column("", [Text(SIGNS.get(state, ""), STYLES.get(state, "dim")) for state in states], 0, is_number=False),
        Column("state", [Text(state, STYLES.get(state, "dim")) for state in states], 4, is_number=False),
        Column(metric, [Text(format_score(trial.value)) for trial in trials], 1),
        Column("gap", [Text(_format_gap(gaps.get(trial.number))) for trial in trials], 7),
        Column("epochs", [Text(str(trial.epochs or "")) for trial in trials], 3),
        Column("params", [Text(format_amount(fact.get("params"))) for fact in facts], 9),
        Column("MACs", [Text(format_amount(fact.get("macs"))) for fact in facts], 6),
        Column("time", [Text(format_duration(trial.seconds) if trial.seconds else "") for trial in trials], 5),
        Column("space", [Text(trial.space) for trial in trials], 10 if is_alone else 2, is_number=False),
        Column("note", [_make_note(fact) for fact in facts], 8, is_number=False, least=SHORTEST_NOTE),
    )
    shown = [column for column in columns if column.heading != "gap" or gaps]
    return FittingTable(shown, ["bold" if trial.number == best else "" for trial in trials])


def _format_gap(gap: float | None) -> str:
    return "" if gap is None else f"{gap:+.4f}"


def _make_note(facts: Mapping[str, Any]) -> Text:
    return Text(format_note(facts), overflow="ellipsis", no_wrap=True)


def make_space_table(spaces: Sequence[SpaceSummary], metric: str) -> FittingTable:
    """Returns a table of search spaces, with the first one marked if it has a complete trial."""
    bests = [space.best for space in spaces]
    winner = spaces[0] if spaces and spaces[0].best else None
    names = [f"{BEST if space is winner else ''}{space.name}" for space in spaces]
    times = [format_duration(space.seconds) if space.seconds else "" for space in spaces]
    columns = (
        Column("search space", list(map(Text, names)), 0, is_number=False),
        Column("trials", [Text(str(space.trials)) for space in spaces], 2),
        Column("complete", [Text(str(space.complete)) for space in spaces], 6),
        Column("pruned", [Text(str(space.pruned)) for space in spaces], 7),
        Column("time", list(map(Text, times)), 3),
        Column(f"best {metric}", [Text(format_score(best.value) if best else "") for best in bests], 1),
        Column("params", [Text(format_amount(best.facts["params"]) if best else "") for best in bests], 5),
        Column("MACs", [Text(format_amount(best.facts["macs"]) if best else "") for best in bests], 4),
        Column("epochs", [Text(str(best.epochs) if best else "") for best in bests], 8),
    )
    return FittingTable(columns, ["bold" if space is winner else "" for space in spaces])


def make_study_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Returns a table of studies.

    Args:
        rows: The name, state, number of trials, best score and description of each.
    """
    table = make_table("study", "state", "trials", "best", "description", right=("trials", "best"))
    for row in rows:
        trials, best = str(row["trials"] or ""), format_score(row["best"])
        table.add_row(row["study"], row["state"], trials, best, Text(row["description"]))
    return table


def make_plugin_table(plugins: Iterable[Plugin]) -> Table:
    """Returns a table of search spaces, those that cannot be loaded included."""
    styles = {"ok": "green", "error": "red", "shadowed": "yellow"}
    table = make_table("plugin", "source", "status", "description", "location")
    for plugin in plugins:
        status, description = Text(plugin.status, style=styles[plugin.status]), plugin.error or plugin.description
        table.add_row(plugin.name, plugin.source, status, Text(description), Text(plugin.location))
    return table


def make_dataset_table(datasets: Iterable[DatasetInfo]) -> Table:
    """Returns a table of datasets by name."""
    numbers = ("shape", "train", "test", "classes")
    table = make_table("dataset", *numbers, "found", right=numbers)
    for dataset in datasets:
        shape = "x".join(map(str, dataset.shape)) if dataset.shape else "?"
        counts = (f"{n:,}" if n is not None else "?" for n in (dataset.train, dataset.test, dataset.classes))
        source = Text(dataset.source or "not on this machine: downloaded when needed")
        table.add_row(dataset.name, shape, *counts, source)
    return table


def make_check_table(results: Iterable[Result]) -> Table:
    """Returns a table of what checks of a search space gave."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for result in results:
        mark, style = MARKS[result.status]
        text = Text(result.message, style="" if result.status == "failed" else "dim")
        table.add_row(Text(mark, style=style), result.check, format_duration(result.seconds), text)
    return table


def make_score_table(classes: Iterable[ClassScore]) -> Table:
    """Returns a table of the scores of each class."""
    numbers = ("precision", "recall", "F1", "images")
    table = make_table("class", *numbers, right=numbers)
    for row in classes:
        table.add_row(Text(row.name), f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", str(row.images))
    return table
