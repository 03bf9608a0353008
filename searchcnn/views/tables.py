"""Tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console
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
MARKS: Mapping[str, tuple[str, str]] = {"passed": ("✓", "green"), "failed": ("✗", "red"), "skipped": ("-", "yellow")}
"""The mark and the style of each status of a check."""
PIPED_WIDTH = 160
"""Width in characters of a table that is not shown in a terminal."""


def make_console() -> Console:
    """Returns a console to print tables on: as wide as the terminal, or wide enough for grep if there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPED_WIDTH)


def print_lines(lines: Iterable[str | Table]) -> None:
    """Prints lines and tables."""
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


def make_trial_table(trials: Sequence[TrialSummary], metric: str, best: int | None) -> Table:
    """Returns a table of trials, with the best one marked."""
    numbers = ("trial", metric, "epochs", "params", "MACs", "time")
    table = make_table("trial", "state", metric, "epochs", "params", "MACs", "time", "space", "note", right=numbers)
    for trial in trials:
        facts = trial.facts
        table.add_row(
            f"{'★ ' if trial.number == best else ''}{trial.number}",
            Text(trial.state, style=STYLES.get(trial.state, "")),
            format_score(trial.value),
            str(trial.epochs or ""),
            format_amount(facts.get("params")),
            format_amount(facts.get("macs")),
            format_duration(trial.seconds) if trial.seconds else "",
            facts.get("space", ""),
            Text(format_note(facts), overflow="ellipsis", no_wrap=True),
            style="bold" if trial.number == best else "",
        )
    return table


def make_space_table(spaces: Sequence[SpaceSummary], metric: str) -> Table:
    """Returns a table of search spaces, with the first one marked if it has a complete trial."""
    best = f"best {metric}"
    numbers = ("trials", "complete", "pruned", "time", best, "params", "MACs", "epochs")
    table = make_table("search space", *numbers, right=numbers)
    for rank, space in enumerate(spaces):
        is_winner = rank == 0 and space.best is not None
        counts = (str(number) for number in (space.trials, space.complete, space.pruned))
        time = format_duration(space.seconds) if space.seconds else ""
        table.add_row(
            f"{'★ ' if is_winner else ''}{space.name}",
            *counts,
            time,
            *_format_network(space.best),
            style="bold" if is_winner else "",
        )
    return table


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


def _format_network(trial: TrialSummary | None) -> tuple[str, ...]:
    if trial is None:
        return ("",) * 4
    facts = trial.facts
    return format_score(trial.value), format_amount(facts["params"]), format_amount(facts["macs"]), str(trial.epochs)
